/*
 * The pages of section 5 hold the formats byte for byte: each entry of the tables in
 * the code stands there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/error.h"
#include "core/raft/node_wire.h"
#include "core/raft/raft_config.h"
#include "core/wire/control_wire.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"
#include "core/wire/wire.h"
#include "sys/process/config.h"

static char *page;

/* Tests run in the top folder of the source. */
static char *page_read(const char *path)
{
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("%s: cannot be read; run this in the top folder", path);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	long size = ftell(f);
	assert_true(size > 0);
	rewind(f);
	char *text = malloc((size_t)size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)size, f), size);
	text[size] = '\0';
	fclose(f);
	return text;
}

static int protocol_page(void **state)
{
	(void)state;
	page = page_read("man/rmq-protocol.5");
	return 0;
}

static int journal_page(void **state)
{
	(void)state;
	page = page_read("man/rmq-journal.5");
	return 0;
}

static int node_page(void **state)
{
	(void)state;
	page = page_read("man/rmq-node.5");
	return 0;
}

static int settings_page(void **state)
{
	(void)state;
	page = page_read("man/rmq.conf.5");
	return 0;
}

static int control_page(void **state)
{
	(void)state;
	page = page_read("man/rmq-control.5");
	return 0;
}

static int page_free(void **state)
{
	(void)state;
	free(page);
	return 0;
}

/*
 * A frame's entry is its name and type, then lines of fields up to the first .Pp.
 * `fields` is as the table says: "u32 magic, u16 version, ".
 */
static void assert_frame(unsigned type, const char *name, const char *fields)
{
	char want[1024], have[1024] = "";
	size_t len = 0;

	snprintf(want, sizeof(want), "\n.It Sy %s No (%u)\n", name, type);
	const char *line = strstr(page, want);
	if (!line)
		fail_msg("no entry for frame %s (%u)", name, type);
	for (line += strlen(want); strncmp(line, ".Em ", 4) == 0;
	     line = strchr(line, '\n') + 1) {
		int n = (int)(strchr(line, '\n') - line) - 4;
		len += (size_t)snprintf(have + len, sizeof(have) - len, "%.*s ", n, line + 4);
	}
	snprintf(want, sizeof(want), "%.*s ", (int)strlen(fields) - 2, fields);
	assert_string_equal(have, want);
}

static void each_frame_stands_in_rmq_protocol_with_its_type_and_fields(void **state)
{
	(void)state;
#define FIELD(kind, name)	    #kind " " #name ", "
#define X(type, NAME, name, FIELDS) assert_frame(type, #NAME, FIELDS(FIELD));
	WIRE_CLIENT_FRAMES(X)
	WIRE_GATE_FRAMES(X)
	WIRE_DAEMON_FRAMES(X)
#undef X
#undef FIELD
}

static void each_error_stands_in_rmq_protocol_with_its_code_exit_status_and_text(void **state)
{
	char want[256];

	(void)state;
#define X(name, wire, exit, text) \
	snprintf( \
	    want, sizeof(want), "\n.It %d Ta Sy %s Ta %d Ta %s\n", wire, #name, exit, text); \
	if (!strstr(page, want)) \
		fail_msg("no line:%s", want);
	RMQ_ERRORS(X)
#undef X
}

static void each_frame_and_event_stands_in_rmq_journal_with_its_type_and_fields(void **state)
{
	(void)state;
#define FIELD(kind, name)	    #kind " " #name ", "
#define X(type, NAME, name, FIELDS) assert_frame(type, #NAME, FIELDS(FIELD));
	JOURNAL_OPENER_FRAMES(X)
	JOURNAL_JOURNAL_FRAMES(X)
	EVENTS(X)
#undef X
#undef FIELD
}

static void each_frame_stands_in_rmq_node_with_its_type_and_fields(void **state)
{
	(void)state;
#define FIELD(kind, name)	    #kind " " #name ", "
#define X(type, NAME, name, FIELDS) assert_frame(type, #NAME, FIELDS(FIELD));
	NODE_FRAMES(X)
#undef X
#undef FIELD
}

/* Each value stands after its name, in the list of the frame that has it. */
static void messages_and_commands_stand_in_rmq_node_with_their_values(void **state)
{
	char want[64];

	(void)state;
#define X(name) \
	snprintf(want, sizeof(want), "%s (%d)", #name, (int)RAFT_##name); \
	if (RAFT_##name != RAFT_APPEND && !strstr(page, want)) \
		fail_msg("no message %s", want);
	RAFT_MESSAGES(X)
#undef X
#define X(name, value) \
	snprintf(want, sizeof(want), "%s (%d)", #name, value); \
	if (!strstr(page, want)) \
		fail_msg("no command %s", want);
	NODE_COMMANDS(X)
#undef X
}

static void the_members_of_a_cluster_stand_in_rmq_journal_field_by_field(void **state)
{
	char want[512];
	size_t len;

	(void)state;
#define FIELD(kind, name) \
	len += (size_t)snprintf(want + len, sizeof(want) - len, "%-4s %s\n", #kind, #name);
#define LAYOUT(FIELDS) \
	len = (size_t)snprintf(want, sizeof(want), "\n.Bd -literal -offset indent\n"); \
	FIELDS(FIELD) \
	snprintf(want + len, sizeof(want) - len, ".Ed\n"); \
	if (!strstr(page, want)) \
		fail_msg("no layout:%s", want);
	LAYOUT(RAFT_CONFIG_HEAD)
	LAYOUT(RAFT_CONFIG_MEMBER)
#undef LAYOUT
#undef FIELD
#define X(name, bit) assert_non_null(strstr(page, #bit ", it "));
	RAFT_FLAGS(X)
#undef X
#define X(of, tag, name) \
	if (!strstr(page, ".It Sy " #of " Ta " #tag " Ta Sy " #name " Ta ")) \
		fail_msg("no tag " #name);
	RAFT_CONFIG_TAGS(X)
#undef X
#define X(name, value, text) \
	if (!strstr(page, #value ", " text)) \
		fail_msg("no way to be removed: " text);
	RAFT_HOWS(X)
#undef X
}

static void each_frame_and_role_stands_in_rmq_control_with_its_number(void **state)
{
	char want[64];

	(void)state;
#define FIELD(kind, name)	    #kind " " #name ", "
#define X(type, NAME, name, FIELDS) assert_frame(type, #NAME, FIELDS(FIELD));
	CONTROL_ASKER_FRAMES(X)
	CONTROL_NODE_FRAMES(X)
#undef X
#undef FIELD
#define X(NAME, value, text) \
	snprintf(want, sizeof(want), "%d %s", value, text); \
	if (!strstr(page, want)) \
		fail_msg("no role or state %s", want);
	CONTROL_ROLES(X)
	CONTROL_MEMBER_STATES(X)
	CONTROL_REASONS(X)
#undef X
#define X(tag, name) \
	snprintf(want, sizeof(want), "\n.It %d Em %s\n", tag, #name); \
	if (!strstr(page, want)) \
		fail_msg("no tag %s", want);
	CONTROL_STATE_NUMBERS(X)
	CONTROL_MEMBER_NUMBERS(X)
#undef X
#define X(tag, name, max) \
	snprintf(want, sizeof(want), "\n.It %d Em %s\n", tag, #name); \
	if (!strstr(page, want)) \
		fail_msg("no tag %s", want);
	CONTROL_STATE_TEXTS(X)
	CONTROL_MEMBER_TEXTS(X)
#undef X
}

static void each_kind_of_record_stands_in_rmq_journal_with_its_number(void **state)
{
	char want[64];

	(void)state;
#define X(name, code) \
	snprintf(want, sizeof(want), "\n.It Sy %s Ta %d Ta ", #name, code); \
	if (!strstr(page, want)) \
		fail_msg("no line:%s", want);
	RECORD_KINDS(X)
#undef X
}

static void every_setting_has_its_entry_and_default(void **state)
{
	static const char *const settings[][2] = {
#define X(member, setting, kind, standard, value, help) {setting, standard},
	    CONFIG_SETTINGS(X)
#undef X
	};
	char want[128];
	(void)state;
	for (size_t i = 0; i < CONFIG_SETTINGS_COUNT; i++) {
		snprintf(want, sizeof(want), "\n.It Cm %s\n", settings[i][0]);
		const char *entry = strstr(page, want);
		if (!entry)
			fail_msg("no entry for %s", settings[i][0]);
		if (settings[i][1] && !strstr(entry, settings[i][1]))
			fail_msg("%s: no default %s", settings[i][0], settings[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		every_setting_has_its_entry_and_default, settings_page, page_free),
	    cmocka_unit_test_setup_teardown(
		each_frame_stands_in_rmq_protocol_with_its_type_and_fields, protocol_page,
		page_free),
	    cmocka_unit_test_setup_teardown(
		each_error_stands_in_rmq_protocol_with_its_code_exit_status_and_text,
		protocol_page, page_free),
	    cmocka_unit_test_setup_teardown(
		each_frame_and_event_stands_in_rmq_journal_with_its_type_and_fields,
		journal_page, page_free),
	    cmocka_unit_test_setup_teardown(
		each_frame_and_role_stands_in_rmq_control_with_its_number, control_page,
		page_free),
	    cmocka_unit_test_setup_teardown(
		each_frame_stands_in_rmq_node_with_its_type_and_fields, node_page, page_free),
	    cmocka_unit_test_setup_teardown(
		messages_and_commands_stand_in_rmq_node_with_their_values, node_page,
		page_free),
	    cmocka_unit_test_setup_teardown(
		each_kind_of_record_stands_in_rmq_journal_with_its_number, journal_page,
		page_free),
	    cmocka_unit_test_setup_teardown(
		the_members_of_a_cluster_stand_in_rmq_journal_field_by_field, journal_page,
		page_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
