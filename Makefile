# rmq: programs and tests are found by folder.
#
#	make			programs into build/release/bin
#	make MODE=asan check	tests with sanitizers (modes: release asan tsan cov)
#	make install PREFIX=/usr DESTDIR=/tmp/x

MODE ?= release
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
MANDIR ?= $(PREFIX)/share/man
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g

B := build/$(MODE)
PACKAGES := libuv lmdb libxxhash jansson libbsd-overlay
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wwrite-strings -Wcast-qual -Wpointer-arith -Wvla -Wundef -Wno-unused-function
VERSION := 0.1

MODE_release :=
MODE_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
MODE_tsan := -fsanitize=thread
MODE_cov := --coverage -O0
FLAGS := -std=c11 -D_GNU_SOURCE -DRMQ_VERSION='"$(VERSION)"' -iquote lib $(WARN) $(WERROR) \
	-fno-strict-aliasing -fstack-protector-strong -fPIE $(MODE_$(MODE)) \
	$(shell $(PKG_CONFIG) --cflags $(PACKAGES))
LIBS := $(shell $(PKG_CONFIG) --libs $(PACKAGES))
LINK := $(CC) $(CFLAGS) $(MODE_$(MODE)) -pie -Wl,-z,relro,-z,now $(LDFLAGS)

CORE := $(wildcard lib/core/*.c)
SYS := $(wildcard lib/sys/*.c)
PROGRAMS := $(notdir $(patsubst %/,%,$(dir $(wildcard cmd/*/main.c))))
BINS := $(PROGRAMS:%=$(B)/bin/%)
UNITS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
SIM := $(if $(wildcard tests/sim/*.c),$(B)/sim)
BENCHES := $(patsubst tests/bench/%.c,$(B)/bench/%,$(wildcard tests/bench/*.c))
obj = $(patsubst %.c,$(B)/%.o,$(1))

all: $(BINS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) -MMD -MP -c -o $@ $<

$(B)/librmq.a: $(call obj,$(CORE) $(SYS))
	@rm -f $@
	$(AR) rcs $@ $^

define program
$(B)/bin/$(1): $(call obj,$(wildcard cmd/$(1)/*.c)) $(B)/librmq.a
	@mkdir -p $$(@D)
	$$(LINK) -o $$@ $$^ $$(LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

$(B)/unit/%: $(B)/tests/unit/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ -lcmocka $(LIBS)

# The simulator has its own copy of the core, with the known-bad variants in it.
$(B)/variants/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(FLAGS) -DRMQ_VARIANTS -MMD -MP -c -o $@ $<

$(B)/sim: $(patsubst %.c,$(B)/variants/%.o,$(wildcard tests/sim/*.c) $(CORE))
	$(LINK) -o $@ $^ $(LIBS)

$(B)/bench/%: $(B)/tests/bench/%.o $(B)/librmq.a
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(LIBS)

units: $(UNITS)
	@for t in $^; do echo "== $$t"; ./$$t || exit 1; done

clean:
	rm -rf build

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: all units clean format
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
