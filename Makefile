# rmq.  Programs, tests and fuzz targets are found by folder.  `make help` lists the targets.

MODE ?= release
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/rmq
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
# Where systemd looks: below other prefixes it does not.
SYSTEMD := $(if $(filter /usr /usr/local,$(PREFIX)),$(PREFIX)/lib,/etc)
UNITDIR ?= $(SYSTEMD)/systemd/system
SYSUSERSDIR ?= $(SYSTEMD)/sysusers.d
TMPFILESDIR ?= $(SYSTEMD)/tmpfiles.d
# Where Pacemaker looks, whatever the prefix.
OCFDIR ?= /usr/lib/ocf/resource.d
PKG_CONFIG ?= pkg-config
INSTALL ?= install
AWK ?= awk
NM ?= nm
CFLAGS ?= -O2 -g
FUZZ_SECONDS ?= 60

VERSION := 0.1
B := build/$(MODE)
PACKAGES := libuv lmdb libxxhash jansson libsodium libbsd-overlay libseccomp
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wcast-qual -Wpointer-arith -Wvla -Wundef -Wno-unused-function

MODE_release :=
# What instruments a program needs files and system calls of its own: no sandbox.  It says in which line
# something is wrong; more, and more optimization, takes as long again to compile, and with less gcc
# warns of texts that are not cut.
MODE_asan := -O1 -g1 -Wno-format-truncation -DRMQ_UNCONFINED -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
MODE_tsan := -DRMQ_UNCONFINED -fsanitize=thread
MODE_cov := -DRMQ_UNCONFINED --coverage -O0
MODE_fuzz := -DRMQ_UNCONFINED -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS := -std=c11 -D_GNU_SOURCE -DRMQ_VERSION='"$(VERSION)"' -iquote lib $(WARN) \
	-fno-strict-aliasing -fstack-protector-strong -fPIE $(MODE_$(MODE)) \
	$(shell $(PKG_CONFIG) --cflags $(PACKAGES))
LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES)) -lm
PG_FLAGS = $(shell $(PKG_CONFIG) --cflags libpq)
PG_LIBS = $(shell $(PKG_CONFIG) --libs libpq)
# What one program has beyond that.
OBJS_rmq-clusterd = $(call obj,$(PG))
LIBS_rmq-clusterd = $(PG_LIBS)
# Clients start for each message, and to load a library takes longer than all else that they do: those
# that there are as archives are linked into them.  CLIENT_ARCHIVES= : none is.
CLIENTS := rmq-ack rmq-queue rmq-recv rmq-send
CLIENT_ARCHIVES ?= sodium jansson xxhash
archive = $(filter /%,$(shell $(CC) -print-file-name=lib$(1).a))
CLIENT_LIBS := $(foreach l,$(LIBS),$(or $(and $(filter $(CLIENT_ARCHIVES:%=-l%),$(l)),$(call archive,$(l:-l%=%))),$(l)))
LINK := $(CC) $(CFLAGS) $(MODE_$(MODE)) -pie -Wl,-z,relro,-z,now $(LDFLAGS)

CORE := $(wildcard lib/core/*/*.c)
# What stands on libpq is for one program, and only that needs it.
PG := $(wildcard lib/sys/pg/*.c)
SYS := $(filter-out $(PG),$(wildcard lib/sys/*/*.c))
PROGRAMS := $(notdir $(patsubst %/,%,$(dir $(wildcard cmd/*/main.c))))
BINS := $(PROGRAMS:%=$(B)/bin/%)
UNITS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
# Those that find known-bad variants (core/base/variant.h).
UNIT_VARIANTS := $(addprefix $(B)/variants/unit/,test_arrive test_client test_mover test_placer \
	test_places)
SIM := $(if $(wildcard tests/sim/*.c),$(B)/sim)
SIM_RAFT := $(if $(wildcard tests/sim_raft/*.c),$(B)/sim_raft)
SIM_CLUSTER := $(if $(wildcard tests/sim_cluster/*.c),$(B)/sim_cluster)
SIM_CELLS := $(if $(wildcard tests/sim_cells/*.c),$(B)/sim_cells)
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
HELPERS := $(patsubst tests/cli/%.c,$(B)/cli/%,$(filter-out %/trespass.c %/wrong_clock.c,$(wildcard tests/cli/*.c))) \
	$(B)/cli/trespass.so $(B)/cli/wrong_clock.so
CLUSTER := $(if $(wildcard tests/cluster/*.c),$(addprefix $(B)/cluster/,actor flood history))
POSTGRES := $(patsubst tests/postgres/%.c,$(B)/postgres/%,$(wildcard tests/postgres/*.c))
CRASHES := $(patsubst tests/crash/%.c,$(B)/crash/%,$(filter-out %/recorder.c,$(wildcard tests/crash/*.c))) \
	$(B)/crash/recorder.so
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
MAN := $(wildcard man/*.[1-8])
SHELLS := bash zsh fish
COMPLETIONS := $(foreach shell,$(SHELLS),$(PROGRAMS:%=$(B)/completions/$(shell)/%))
OLDER := rmq-cluster rmq-clusterd rmq-journal rmq-queued
obj = $(patsubst %.c,$(B)/%.o,$(1))

all: $(BINS)
completions: $(COMPLETIONS)
fuzzers: $(FUZZERS)
tests: all completions $(B)/librmq.a $(UNITS) $(UNIT_VARIANTS) $(HELPERS) $(CLUSTER) $(POSTGRES) $(SIM) $(SIM_RAFT) $(SIM_CLUSTER) $(SIM_CELLS) $(CRASHES) fuzzers $(OLDER:%=$(B)/level1/bin/%)

# What all objects are made with; written anew, and they too, when it changes.
COMPILED := $(strip $(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) $(LDFLAGS))
ifneq ($(COMPILED),$(strip $(file <$(B)/flags)))
$(B)/flags: FORCE
endif
$(B)/flags:
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMPILED))' >$@

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) $(WERROR) -MMD -MP -c -o $@ $<

$(call obj,$(PG) $(wildcard tests/postgres/*.c)): FLAGS += $(PG_FLAGS)

$(B)/librmq.a: $(call obj,$(CORE) $(SYS))
	@rm -f $@
	$(AR) rcs $@ $^

define program
$(B)/bin/$(1): $(call obj,$(wildcard cmd/$(1)/*.c)) $(OBJS_$(1)) $(B)/librmq.a
	@mkdir -p $$(@D)
	$$(LINK) -o $$@ $$^ $(if $(filter $(1),$(CLIENTS)),$$(CLIENT_LIBS),$$(LIBS)) $$(LIBS_$(1))
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

# The cluster's programs as one version older has them: they read no record of a newer level.
OLD := $(B)/level1
$(OLD)/level.o: lib/core/base/level.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) $(WERROR) -DRMQ_LEVEL_NEWEST=1 -MMD -MP -c -o $@ $<
define older
$(OLD)/bin/$(1): $(call obj,$(wildcard cmd/$(1)/*.c)) $(OBJS_$(1)) $(OLD)/level.o $(B)/librmq.a
	@mkdir -p $$(@D)
	$$(LINK) -o $$@ $$^ $$(LIBS) $$(LIBS_$(1))
endef
$(foreach p,$(OLDER),$(eval $(call older,$(p))))

# Completion for shells, from the program's own table of options.
define completion
$(B)/completions/$(1)/%: $(B)/bin/% contrib/completions/rows.awk contrib/completions/$(1).awk \
		contrib/completions/common.$(1)
	@mkdir -p $$(@D)
	$$< --option-rows >$$@.rows
	$(AWK) -v common=contrib/completions/common.$(1) -f contrib/completions/rows.awk \
		-f contrib/completions/$(1).awk $$@.rows >$$@
	@rm $$@.rows
endef
$(foreach s,$(SHELLS),$(eval $(call completion,$(s))))

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LIBS)

# The simulators, and some unit tests, have their own copy of the core, with the known-bad variants in it.
$(B)/variants/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) $(WERROR) -DRMQ_VARIANTS -MMD -MP -c -o $@ $<

$(B)/variants/core.a: $(patsubst %.c,$(B)/variants/%.o,$(CORE))
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/variants/unit/%: $(B)/variants/tests/unit/%.o $(B)/variants/tests/unit/variant.o \
		$(B)/variants/core.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka $(LIBS)

$(B)/sim: $(patsubst %.c,$(B)/variants/%.o,$(wildcard tests/sim/*.c)) $(B)/variants/core.a
	$(LINK) -o $@ $^ $(LIBS)

$(B)/sim_raft: $(patsubst %.c,$(B)/variants/%.o,$(wildcard tests/sim_raft/*.c)) $(B)/variants/core.a
	$(LINK) -o $@ $^ $(LIBS)

# All cores together, on what the two simulators above are made of.
SIM_PARTS := $(filter-out %/main.c %/machine.c,$(wildcard tests/sim/*.c tests/sim_raft/*.c))
$(B)/sim_cluster: $(patsubst %.c,$(B)/variants/%.o,$(wildcard tests/sim_cluster/*.c) $(SIM_PARTS)) \
		$(B)/variants/core.a
	$(LINK) -o $@ $^ $(LIBS)

# Many cells, on what the first one has around its machine.
CELLS_PARTS := $(patsubst %,tests/sim/%.c,journal_model lines net recovery runner trace)
$(B)/sim_cells: $(patsubst %.c,$(B)/variants/%.o,$(wildcard tests/sim_cells/*.c) $(CELLS_PARTS)) \
		$(B)/variants/core.a
	$(LINK) -o $@ $^ $(LIBS)

$(B)/bench/%: $(B)/tests/bench/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBS)

$(B)/cli/%: $(B)/tests/cli/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(B)/cli/fakenode: $(call obj,cmd/rmq-clusterd/control.c)

$(B)/cluster/%: $(B)/tests/cluster/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

$(B)/cluster/history: $(call obj,tests/cluster/history_read.c)

$(B)/postgres/%: $(B)/tests/postgres/%.o $(call obj,$(PG)) $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) $(PG_LIBS)

$(B)/crash/%: $(B)/tests/crash/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBS)

# To be preloaded.
$(B)/crash/recorder.so $(B)/cli/trespass.so $(B)/cli/wrong_clock.so: $(B)/%.so: tests/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) $(WERROR) -MMD -MP -fPIC -shared $(LDFLAGS) -o $@ $< -ldl

# A fuzz target is linked with libFuzzer in mode fuzz (clang), else with a small driver.
FUZZ_MAIN := $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer,$(B)/tests/fuzz/driver.o)
$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(filter %.o,$(FUZZ_MAIN)) $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(filter -f%,$(FUZZ_MAIN)) $(LIBS)
$(B)/fuzz/fuzz_envelope: $(patsubst %,$(B)/cmd/rmq-send/%.o,envelope_line envelope_simple)
$(B)/fuzz/fuzz_gate $(B)/unit/test_principals: \
		$(patsubst %,$(B)/cmd/rmq-gated/%.o,stream client far gate principals)
$(B)/fuzz/fuzz_restore: $(filter-out %/main.o,$(call obj,$(wildcard cmd/rmq-journal/*.c)))

# ---- tests: each tests/NAME/run prints TAP for $(MODE); `sh tests/run` runs them all ----

check: check-unit check-sim check-sim_raft check-sim_cluster check-sim_cells check-cli check-cluster check-postgres check-crash check-fuzz check-man check-lint check-deb check-ocf
check-%: tests
	@MODE=$(MODE) RMQ_BUILD='$(B)' sh tests/check $*
check-pure: $(call obj,$(CORE))
	NM='$(NM)' sh tests/lint/pure $^
check-long: tests
	RMQ_LONG=1 MODE=$(MODE) RMQ_BUILD='$(B)' sh tests/check cli sim sim_raft sim_cluster sim_cells crash cluster postgres fuzz
lint: tests
	@MODE=$(MODE) RMQ_BUILD='$(B)' sh tests/check lint
bench: all $(BENCHES) $(B)/cli/keyclient
	MODE=$(MODE) RMQ_BUILD='$(abspath $(B))' sh tests/bench/bench $(PARTS)
bench-cluster: all $(BENCHES) $(B)/cluster/flood $(POSTGRES)
	MODE=$(MODE) RMQ_BUILD='$(abspath $(B))' bash tests/bench/cluster $(PARTS)
fuzz:
	FUZZ_SECONDS=$(FUZZ_SECONDS) sh tests/fuzz/long

# ---- the house ----

format:
	clang-format-14 -i $$(find cmd lib tests -name '*.[ch]')

EXAMPLES := backup.sh crawl.sh csv-import.sh debounce.sh hosts.sh log-ship.sh nightly.sh rmq-webhook.socket rmq-webhook@.service \
	sendmail.sh webhook.sh
install: all completions
	$(INSTALL) -d '$(DESTDIR)$(BINDIR)'
	$(if $(BINS),$(INSTALL) -m 755 $(BINS) '$(DESTDIR)$(BINDIR)')
	for page in $(MAN); do \
		dir='$(DESTDIR)$(MANDIR)'/man$${page##*.} && $(INSTALL) -d "$$dir" && \
		$(INSTALL) -m 644 $$page "$$dir" || exit 1; done
	$(INSTALL) -d '$(DESTDIR)$(BASHDIR)' '$(DESTDIR)$(ZSHDIR)' '$(DESTDIR)$(FISHDIR)'
	for name in $(PROGRAMS); do \
		$(INSTALL) -m 644 $(B)/completions/bash/$$name '$(DESTDIR)$(BASHDIR)'/$$name && \
		$(INSTALL) -m 644 $(B)/completions/zsh/$$name '$(DESTDIR)$(ZSHDIR)'/_$$name && \
		$(INSTALL) -m 644 $(B)/completions/fish/$$name '$(DESTDIR)$(FISHDIR)'/$$name.fish || exit 1; done
	$(INSTALL) -d '$(DESTDIR)$(DOCDIR)/examples'
	$(INSTALL) -m 644 $(EXAMPLES:%=contrib/examples/%) '$(DESTDIR)$(DOCDIR)/examples'

# A unit names its program by its path: systemd has a search path of its own.
UNITS_ALL := $(wildcard contrib/systemd/*.service contrib/systemd/*.socket)
install-systemd:
	$(INSTALL) -d '$(DESTDIR)$(UNITDIR)' '$(DESTDIR)$(SYSUSERSDIR)' '$(DESTDIR)$(TMPFILESDIR)'
	for unit in $(UNITS_ALL); do \
		to='$(DESTDIR)$(UNITDIR)'/$${unit##*/} && $(INSTALL) -m 644 $$unit "$$to" && \
		sed 's|^ExecStart=rmq-|ExecStart=$(BINDIR)/rmq-|' $$unit >"$$to" || exit 1; done
	$(INSTALL) -m 644 contrib/systemd/rmq.sysusers '$(DESTDIR)$(SYSUSERSDIR)/rmq.conf'
	$(INSTALL) -m 644 contrib/systemd/rmq.tmpfiles '$(DESTDIR)$(TMPFILESDIR)/rmq.conf'

# The agent's program has a path, too: Pacemaker's search path is its own.
install-ocf:
	$(INSTALL) -d '$(DESTDIR)$(OCFDIR)/rmq'
	$(INSTALL) -m 755 contrib/ocf/rmq '$(DESTDIR)$(OCFDIR)/rmq/rmq'
	sed 's|^\(OCF_RESKEY_binary_default=\)rmq-|\1$(BINDIR)/rmq-|' contrib/ocf/rmq >'$(DESTDIR)$(OCFDIR)/rmq/rmq'

# Debian packages, into $(B)/deb.
deb:
	sh contrib/debian/build '$(B)/deb' '$(VERSION)'

uninstall:
	for name in $(PROGRAMS); do rm -f '$(DESTDIR)$(BINDIR)'/$$name; done
	for name in $(PROGRAMS); do rm -f '$(DESTDIR)$(BASHDIR)'/$$name '$(DESTDIR)$(ZSHDIR)'/_$$name \
		'$(DESTDIR)$(FISHDIR)'/$$name.fish; done
	for page in $(notdir $(MAN)); do rm -f '$(DESTDIR)$(MANDIR)'/man$${page##*.}/$$page; done
	for name in $(EXAMPLES); do rm -f '$(DESTDIR)$(DOCDIR)/examples'/$$name; done
	for unit in $(notdir $(UNITS_ALL)); do rm -f '$(DESTDIR)$(UNITDIR)'/$$unit; done
	rm -f '$(DESTDIR)$(SYSUSERSDIR)/rmq.conf' '$(DESTDIR)$(TMPFILESDIR)/rmq.conf'
	rm -f '$(DESTDIR)$(OCFDIR)/rmq/rmq'

clean:
	rm -rf build

help:
	@echo 'make [MODE=release|asan|tsan|cov] [CFLAGS=…] [WERROR=-Werror] [TARGET…]'
	@echo '  B=DIR                what is built goes there: for a source that is read-only'
	@echo '  all                  programs, into build/MODE/bin (the default)'
	@echo '  completions          for bash, zsh and fish, into build/MODE/completions'
	@echo '  tests                programs and tests'
	@echo '  check                every check below, in this MODE (all modes: sh tests/run)'
	@echo '  check-unit -sim -sim_raft -sim_cluster -sim_cells -cli -cluster -postgres -crash -fuzz -man -lint -deb -ocf -pure'
	@echo '  lint                 the rules of tests/lint, clang-format without changing anything among them'
	@echo '  check-long           simulation, crashes and fuzzing for longer'
	@echo '  bench [PARTS=...]    measures; figures are ratios to a ceiling of the same run'
	@echo '  bench-cluster        the same for a cluster of three nodes on this machine; with'
	@echo '                       RMQ_ENGINE=postgresql: of that engine'
	@echo '  fuzz                 libFuzzer on each decoder, FUZZ_SECONDS=60 each'
	@echo '  format               clang-format in place'
	@echo '  install uninstall    PREFIX=/usr/local DESTDIR='
	@echo '  deb                  Debian packages, into build/MODE/deb'
	@echo '  install-systemd      units, user and directories from contrib/systemd'
	@echo '  install-ocf          the resource agent for Pacemaker, from contrib/ocf'
	@echo '  clean                removes build/'

.PHONY: all completions fuzzers tests check check-pure check-long lint bench bench-cluster fuzz format install \
	install-systemd install-ocf deb uninstall clean help FORCE
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
