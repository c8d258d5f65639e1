#include "rights.h"

#include "core/raft/node_wire.h"
#include "state.h"
#include "sys/net/rights_file.h"

static void look(uv_work_t *work)
{
	struct cluster *c = work->data;
	struct rights_file file = {.groups_len = 0};

	c->rights.why.text[0] = '\0';
	(void)!rights_file_read(&file, c->config.rights, &c->rights.why);
	c->rights.found = rights_file_tag(&file);
	rights_file_deinit(&file);
}

static void on_looked(uv_work_t *work, int status)
{
	struct cluster *c = work->data;
	struct rights_look *r = &c->rights;

	(void)status;
	r->runs = false;
	r->problem[0] = '\0';
	if (r->why.text[0])
		snprintf(r->problem, sizeof(r->problem),
		    "%.150s: users of this node have the rights from before, or none: mend it, "
		    "and send SIGHUP",
		    r->why.text);
	else
		r->tag = r->found;
	cluster_changed(c);
	if (r->again)
		rights_look(c);
}

void rights_look(struct cluster *c)
{
	struct rights_look *r = &c->rights;

	if (!config_given(&c->config, rights))
		return;
	r->again = r->runs;
	if (r->runs)
		return;
	r->work.data = c;
	r->runs = uv_queue_work(&c->loop, &r->work, look, on_looked) == 0;
}

uint32_t rights_flags(const struct cluster *c)
{
	bool is_known = c->rights.tag || !config_given(&c->config, rights);

	return is_known ? NODE_STATE_RIGHTS | (uint32_t)c->rights.tag << 16 : 0;
}

const char *rights_problem(const struct cluster *c)
{
	return c->rights.problem[0] ? c->rights.problem : NULL;
}
