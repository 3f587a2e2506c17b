#!/bin/bash
# Runs the tests in the guest (see boot.py), as its process 1. The results are written to the third disk, and the guest
# is switched off.
set -o pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1
exec </dev/null
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
ln -sfn /proc/self/fd /dev/fd
hostname guest
ip link set lo up
sysctl -q --system >/dev/null
echo "guest: $(uname -r), $(nproc) processors, $(cat /sys/kernel/security/lsm)"

export XDG_CACHE_HOME=/disk/cache PYTHONDONTWRITEBYTECODE=1
run() # NAME ARGUMENT...: runs tests with pytest
{
    local name=$1
    shift
    python3 -m pytest "$@" "${chosen[@]}" -q --builds=build-kernels --as=asan=plain --variant=plain --durations=20 \
        --junitxml="/results/$name.xml"
}

mapfile -t chosen </disk/options
files=(tests/e2e/test_reach*.py tests/e2e/test_fence.py tests/e2e/test_covering.py)
if grep -q ' emulated' /proc/cmdline; then # a sample: see boot.py
    export TESTS_SLOWNESS=5
    others='bare or probe_musl or uring or cgo or rust'
    chosen=(-k "not slow and not (($others) and (fetches or started))" "${chosen[@]}")
    unset 'files[-1]'
fi
status=0
run modules tests/kernels || status=1
meson test -C build-kernels/build --no-rebuild --suite kernel --suite root --timeout-multiplier 20 --print-errorlogs |
    cat || status=1 # for a terminal the output would be longer
cp build-kernels/build/meson-logs/testlog.junit.xml /results/c.xml
run e2e "${files[@]}" -n $(($(nproc) + 1)) || status=1 # they also wait
dmesg >/results/dmesg.log
tar -C /results -cf /dev/vdc .
sync
echo "guest: ended with status $status"
busybox poweroff -f
