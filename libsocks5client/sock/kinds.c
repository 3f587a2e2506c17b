#include "kind.h"
#include "associate.h"
#include "listener.h"
#include "nameserver.h"
#include "rebind.h"
#include "stream.h"

const struct s5_kind *const s5_kinds[] = {
    &s5_handed_kind,    &s5_listener_kind,       &s5_rebind_kind, &s5_nameserver_kind,
    &s5_associate_kind, &s5_associate_exec_kind, &s5_stream_kind, NULL,
};
