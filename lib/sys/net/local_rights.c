#include "sys/net/local_rights.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59 /* Linux 4.13; glibc has it since 2.28 */
#endif

struct local_peer {
	uid_t uid;
	gid_t *groups; /* its primary one is the first */
	size_t count;
};

/* The supplementary groups; those that cannot be told are none. */
static void add_groups(struct local_peer *p, int fd)
{
	socklen_t len = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
		return;
	gid_t *all = realloc(p->groups, sizeof(*all) + len);
	if (!all)
		return;
	p->groups = all;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all + 1, &len) == 0)
		p->count += len / sizeof(*all);
}

static bool who(struct local_peer *p, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return false;
	*p = (struct local_peer){peer.uid, malloc(sizeof(gid_t)), 1};
	if (!p->groups)
		return false;
	p->groups[0] = peer.gid;
	add_groups(p, fd);
	return true;
}

static bool may_all(const struct local_peer *p)
{
	return p->uid == 0 || p->uid == geteuid();
}

bool local_rights(
    const struct rights_file *f, int fd, struct wall_time now, struct rights_granted *granted)
{
	struct local_peer p;
	const char *why;

	granted->name[0] = '\0';
	granted->len = 0;
	granted->until.ms = UINT64_MAX;
	if (!who(&p, fd))
		return true;
	bool all = may_all(&p);
	if (!all && rights_file_user(f, p.uid, p.groups, p.count, now, granted, &why))
		granted->len = 0;
	free(p.groups);
	return !all;
}

bool local_rights_same(
    const struct rights_file *a, const struct rights_file *b, int fd, struct wall_time now)
{
	struct local_peer p;

	if (!who(&p, fd))
		return true;
	bool same = may_all(&p) || rights_file_same_user(a, b, p.uid, p.groups, p.count, now);
	free(p.groups);
	return same;
}
