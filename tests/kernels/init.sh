#!/bin/busybox sh
# The first program of the guest (see boot.py), in the initramfs. It mounts the disks and goes on with guest.sh.
busybox=/bin/busybox
$busybox mount -t devtmpfs dev /dev
exec >/dev/console 2>&1
echo "guest: the kernel has started"
$busybox mount -t proc proc /proc
for module in /modules/*; do
    $busybox insmod "$module"
done
for word in $($busybox cat /proc/cmdline); do
    case "$word" in project=*) project=${word#project=} ;; esac
done
$busybox mount -t ext4 /dev/vda /root
$busybox mkdir -p "/root$project" /root/disk /root/results
$busybox mount -t ext4 /dev/vdb /root/disk
$busybox mount --bind /root/disk/project "/root$project"
$busybox mkdir -p /root/lib/modules
$busybox mount --bind /root/disk/modules /root/lib/modules
$busybox umount /proc
$busybox mount --move /dev /root/dev
exec $busybox switch_root /root /bin/bash "$project/tests/kernels/guest.sh"
