/* What rmq-cluster shows: of this node (rows: struct control_view) of a member, of what is wrong. */
#ifndef RMQ_CLUSTER_COLUMNS_H
#define RMQ_CLUSTER_COLUMNS_H

#include "core/client/table.h"
#include "core/host/control.h"

/* A member, and the view it is of. */
struct member_row {
	const struct control_view *view;
	const struct control_view_member *member;
};

/* A line of the answer to `why`. */
struct reason_row {
	enum control_reason reason;
	const char *text;
};

/* How many voters are up. */
unsigned voters_up(const struct control_view *v);

extern const struct table_columns columns_of_node;
extern const struct table_columns columns_of_member;
extern const struct table_columns columns_of_reason;

#endif
