/* The list of all kinds, and the kind of a record by its state. */
#include "kinds.h"
#include "association_exec.h"
#include "association_pool.h"
#include "dns_client.h"
#include "kind.h"
#include "listener.h"
#include "next_bind.h"
#include "stream.h"

const struct s5_kind *const s5_kinds[] = {
    &s5_exported_kind,    &s5_listener_kind,         &s5_next_bind_kind, &s5_dns_kind,
    &s5_association_kind, &s5_association_exec_kind, &s5_stream_kind,    NULL,
};

const struct s5_kind *s5_kind_of(const struct s5_record *record)
{
    switch ((enum s5_record_state)atomic_load(&record->state)) {
    case S5_RECORD_IN_FLIGHT:
    case S5_RECORD_READY:
    case S5_RECORD_FAILED:
        return &s5_stream_kind;
    case S5_RECORD_NAMED:
    case S5_RECORD_LISTENING:
        return &s5_listener_kind;
    case S5_RECORD_RELAYED:
        return &s5_association_kind;
    case S5_RECORD_INTERNAL:
    case S5_RECORD_FREE:
        break;
    }
    return NULL;
}
