#!/bin/busybox sh
# The guest's first process: mounts what a machine with nothing but version 2 of control groups has, joins it to a network
# of two machines (the other one is the namespace `outside`), then serves the test until its line is closed.
export PATH=/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /run /tmp
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
for module in /modules/*; do insmod "$module"; done
chmod 666 /dev/net/tun
hostname guest

/usr/bin/ip link set lo up
/usr/bin/ip netns add outside
/usr/bin/ip link add uplink type veth peer name uplink netns outside
/usr/bin/ip address add 192.0.2.10/24 dev uplink
/usr/bin/ip link set uplink up
/usr/bin/ip route add default via 192.0.2.1
/usr/bin/ip -n outside link set lo up
/usr/bin/ip -n outside address add 192.0.2.1/24 dev uplink
/usr/bin/ip -n outside link set uplink up
/usr/bin/ip netns exec outside node /servers.mjs outside 192.0.2.1 &
node /servers.mjs loopback 127.0.0.1 127.0.0.53 &

stty -F /dev/ttyS1 raw -echo
node /agent.mjs </dev/ttyS1 >/dev/ttyS1
poweroff -f
