#include "room.h"
#include "begin.h"
#include <stdint.h>
#include <sys/resource.h>

#define RESERVE 512 /* descriptors for all else */
#define EACH    2   /* of a flow: the ends of a connection; a UDP socket and the connection to its server */

static unsigned used, most; /* flows */
static bool told;

void room_begin(void)
{
    struct rlimit limit;
    most = UINT32_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < UINT32_MAX)
        most = limit.rlim_cur > RESERVE ? (unsigned)(limit.rlim_cur - RESERVE) / EACH : 0;
}

bool room_take(void)
{
    if (used < most) {
        used++;
        return true;
    }
    if (!told)
        s5_log(&s5_begin()->log, S5_LOG_ERROR, "refused: the limit of descriptors allows %u connections at a time",
               most);
    told = true;
    return false;
}

void room_give(void)
{
    used--;
    if (used <= most / 2)
        told = false;
}
