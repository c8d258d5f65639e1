# Network namespaces, one for each node, and links between each two that can be cut, also in
# one direction.  To be sourced.  Needs root or a user namespace, ip(8) and nsenter(1).
#
# Node I has the address 10.9.0.I; the link between I and J is a pair of interfaces of its own.
# A cut sends I's packets for J over another link, where nobody forwards them: they are lost
# without a word, as on a broken cable.

# net_possible: whether this process may make namespaces.
net_possible() {
	command -v ip >/dev/null && unshare -n ip link add rmq0 type veth peer name rmq1 2>/dev/null
}

net_pid() {
	eval "echo \"\$net_pid_$1\""
}

# net_in I COMMAND...: runs it in the node's namespace.
net_in() {
	nsenter -t "$(net_pid "$1")" -n -- "${@:2}"
}

net_address() {
	echo "10.9.0.$1"
}

net_low() {
	[ "$1" -lt "$2" ] && echo "$1$2" || echo "$2$1"
}

# net_up N DIR: makes the namespaces; DIR is for marks.
net_up() {
	net_count=$1
	for i in $(seq "$net_count"); do
		rm -f "$2/net.$i"
		unshare -n sh -c 'echo up >"$0" && exec sleep infinity' "$2/net.$i" 3>&- &
		eval "net_pid_$i=$!"
		until [ -s "$2/net.$i" ]; do
			kill -0 "$!" || return 1
		done
		net_in "$i" ip link set lo up
		net_in "$i" ip address add "$(net_address "$i")/32" dev lo
	done
	for i in $(seq "$net_count"); do
		for j in $(seq $((i + 1)) "$net_count"); do
			net_pair "$i" "$j" || return 1
		done
	done
}

net_pair() {
	ip link add "to$2" netns "$(net_pid "$1")" type veth \
		peer name "to$1" netns "$(net_pid "$2")" || return 1
	for side in "$1 $2" "$2 $1"; do
		set -- $side
		net_in "$1" ip address add "10.9.$(net_low "$1" "$2").$1/24" dev "to$2"
		net_in "$1" ip link set "to$2" up
	done
	net_heal "$1" "$2"
	net_heal "$2" "$1"
}

# net_heal I J: I's packets for J arrive again.
net_heal() {
	net_in "$1" ip route replace "$(net_address "$2")/32" \
		via "10.9.$(net_low "$1" "$2").$2" src "$(net_address "$1")"
}

# net_cut I J: I's packets for J are lost.
net_cut() {
	local other
	for other in $(seq "$net_count"); do
		if [ "$other" != "$1" ] && [ "$other" != "$2" ]; then
			net_in "$1" ip route replace "$(net_address "$2")/32" \
				via "10.9.$(net_low "$1" "$other").$other" src "$(net_address "$1")"
			return
		fi
	done
}

# net_heal_all: all packets arrive.
net_heal_all() {
	for i in $(seq "$net_count"); do
		for j in $(seq "$net_count"); do
			[ "$i" = "$j" ] || net_heal "$i" "$j"
		done
	done
}

net_down() {
	for i in $(seq "${net_count:-0}"); do
		kill "$(net_pid "$i")" 2>/dev/null
	done
}
