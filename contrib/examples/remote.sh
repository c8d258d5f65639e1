#!/bin/sh
# usage: sh contrib/examples/remote.sh
#
# Two machines and what each does so that one can use the other's queue: a server with a queue and a gate,
# and a laptop with a key.  They are network namespaces of this machine, so it needs root, or a kernel that lets
# users make namespaces; each has a directory of its own.  Leaves nothing but build/.
set -eu

mode=${MODE:-release}
cd "$(dirname "$0")/../.."
unset RMQ_SERVERS RMQ_TIMEOUT RMQ_KEYFILE RMQ_KNOWN_NODES
build=${RMQ_BUILD:-$PWD/build/$mode}
# In a namespace of its own, where it is root, all of it ends with it.
if [ -z "${RMQ_EXAMPLE:-}" ]; then
	make -s MODE="$mode" B="$build" all
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	RMQ_EXAMPLE=$work unshare --user --map-root-user --net --pid --fork --kill-child=KILL --mount-proc \
		sh contrib/examples/remote.sh
	exit
fi
cd "$RMQ_EXAMPLE"
PATH=$build/bin:$PATH
export PATH
mkdir server laptop

# ---- the network: 10.1.0.1 is the server, 10.1.0.2 the laptop ----

unshare --net sh -c 'echo >server/up; exec sleep infinity' &
far=$!
until [ -e server/up ]; do :; done
ip link add to-server type veth peer name to-laptop netns "$far"
ip address add 10.1.0.2/24 dev to-server
ip link set to-server up
on_server() {
	nsenter --target "$far" --net -- "$@"
}
on_server ip address add 10.1.0.1/24 dev to-laptop
on_server ip link set to-laptop up
on_server ip link set lo up

# ---- on the laptop, once: a key ----

export HOME="$PWD/laptop" XDG_CONFIG_HOME="$PWD/laptop/.config"
echo "laptop\$ rmq-keygen"
rmq-keygen | tee laptop/key.pub

# ---- on the server, once: what that key may do, and the server's own key; then a queue and a gate ----

echo "send,recv queue=\"jobs.*\" $(cat laptop/key.pub) laptop" >server/rights
rmq-keygen server/gate.key >server/gate.pub
mkfifo server/queue-ready server/gate-ready
on_server rmq-queued -d server/q --init -l server/rmq.sock --ready-fd 3 3>server/queue-ready &
read -r _ <server/queue-ready
on_server rmq-gated --name mq --key server/gate.key --control none --queue-socket server/rmq.sock \
	--rights server/rights --ready-fd 3 3>server/gate-ready &
read -r _ <server/gate-ready

# ---- on the laptop ----

# A person would be asked; a script is given what the server's people say.
echo "10.1.0.1:7411 $(cat server/gate.pub) mq -" >"$XDG_CONFIG_HOME/rmq/known_nodes"
chmod 600 "$XDG_CONFIG_HOME/rmq/known_nodes"
export RMQ_SERVERS=10.1.0.1
echo "laptop\$ seq 1000 | rmq-send jobs.numbers"
seq 1000 | rmq-send jobs.numbers
echo "laptop\$ rmq-recv --drain jobs.numbers | wc -l"
rmq-recv --drain jobs.numbers | wc -l
echo "laptop\$ rmq-send mail hello"
rmq-send mail hello || echo "# exit status $?"
