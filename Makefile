# Makefile - the front door. It calls CMake and the scripts in tools/ and tests/; all products are in build/.
#
# `make help` lists targets and variables.
.DEFAULT_GOAL := help
.SUFFIXES:

BOARD ?= emcraft-sf2
CONFIG ?=
IMAGE ?= build/$(BOARD)/flash.img
INTERACTIVE ?=
LWIP_DIR ?=
BEARSSL_DIR ?=
MUSL_DIR ?=
ARCH ?= $(patsubst armv7l,armv7,$(shell uname -m))
DESTDIR ?=
PREFIX ?= /usr
FORCE ?=
DEPS ?= yes
FUZZ_SECONDS ?= 60
FUZZ ?=
ONLY ?=
UPDATE ?=
TOP ?=
JOBS ?= $(shell nproc)

BOARDS := $(sort $(patsubst boards/%/board.cmake,%,$(wildcard boards/*/board.cmake)))
PYTHON := python3

# Sources of the libraries: fetched ones unless a checkout is named.
LWIP := $(abspath $(or $(LWIP_DIR),build/deps/lwip))
BEARSSL := $(abspath $(or $(BEARSSL_DIR),build/deps/bearssl))
MUSL := $(abspath $(or $(MUSL_DIR),build/deps/musl))
SOURCES := -DLWIP_DIR=$(LWIP) -DBEARSSL_DIR=$(BEARSSL)
DEPS_SOURCES := $(if $(LWIP_DIR),--lwip-dir '$(LWIP)') $(if $(BEARSSL_DIR),--bearssl-dir '$(BEARSSL)') \
    $(if $(MUSL_DIR),--musl-dir '$(MUSL)')

# Processors of the Linux program.
ARCHS = $(if $(filter all,$(ARCH)),$(shell tools/compiler.sh),$(ARCH))

# cmake_build FOLDER,TARGETS,OPTIONS: configure and build into build/FOLDER, quietly unless it fails.
cmake_build = tools/cmake-build.sh $(1) '$(2)' $(JOBS) $(3) $(SOURCES)

export BOARDS BOARD JOBS

.PHONY: help deps sources peers board run check firmware firmwares config tools linux install deb host \
    fuzz fuzzers bench bench-linux cross docs size lint format clean distclean

help: ## this list
	@echo "Tocsin: mail alerts from bare metal. Targets:"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/    make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	    awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo "Variables:"
	@echo "    BOARD=$(BOARD)    one of: $(BOARDS)"
	@echo "    CONFIG=file          configuration to use (make config, make run)"
	@echo "    IMAGE=file           where make config writes; build/BOARD/flash.img"
	@echo "    INTERACTIVE=1        make run leaves the board's console to you"
	@echo "    ARCH=$(ARCH)          make linux, deb: one of: $(shell tools/compiler.sh); or all"
	@echo "    DESTDIR=, PREFIX=$(PREFIX)  make install: where to"
	@echo "    LWIP_DIR=, BEARSSL_DIR=, MUSL_DIR=   own checkouts instead of the fetched sources"
	@echo "    DEPS=no              do not look for missing packages, sources and servers"
	@echo "    ONLY='stage ...'     make check: these stages only (ONLY=list names them)"
	@echo "    FUZZ=name FUZZ_SECONDS=$(FUZZ_SECONDS)   make fuzz: one target, time for each"
	@echo "    TOP=20               make size: also the largest functions and objects of each board"
	@echo "    UPDATE=1             make size, bench, bench-linux: write their tables into README.md"
	@echo "    JOBS=$(JOBS)               parallel compilers"

# ---- set-up: quick and without network when there is nothing to do ----

deps: ## install and fetch all that `make check` needs; the other targets look after themselves
ifneq ($(DEPS),no)
	@$(PYTHON) tools/deps.py all $(DEPS_SOURCES)
endif

# What a build alone needs: no test servers.
sources:
ifneq ($(DEPS),no)
	@$(PYTHON) tools/deps.py packages sources $(DEPS_SOURCES)
endif

# What a run needs: the servers too.
peers:
ifneq ($(DEPS),no)
	@$(PYTHON) tools/deps.py packages sources peers $(DEPS_SOURCES)
endif

board:
	@$(if $(filter $(BOARD),$(BOARDS)),true,$(PYTHON) tools/boards.py '$(BOARD)')

# ---- products ----

firmware: board sources ## build/BOARD/firmware.elf; fails above the board's size limits
	@$(call cmake_build,$(BOARD),firmware.elf,-DBOARD=$(BOARD) -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/toolchain.cmake)
	@$(PYTHON) tools/size.py --line $(BOARD)

firmwares: sources
	@for board in $(BOARDS); do $(MAKE) --no-print-directory DEPS=no firmware BOARD=$$board || exit 1; done

linux: ## build/linux-ARCH/tocsin: the static program for Linux; fails above its size limit
	@for arch in $(ARCHS); do tools/compiler.sh $$arch > /dev/null || exit 2; done
ifneq ($(DEPS),no)
	@$(PYTHON) tools/deps.py packages sources musl $(ARCHS:%=cross-%) $(DEPS_SOURCES)
endif
	@for arch in $(ARCHS); do \
	    test build/linux-$$arch/CMakeCache.txt -nt boards/linux/toolchain.cmake || \
	        rm -f build/linux-$$arch/CMakeCache.txt; \
	    tools/musl.sh $$arch $(JOBS) '$(MUSL)' && \
	    $(call cmake_build,linux-$$arch,tocsin-linux flash_tools,-DTOCSIN_LINUX=ON -DTOCSIN_ARCH=$$arch \
	        -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/boards/linux/toolchain.cmake) && \
	    $(PYTHON) tools/size.py --line linux-$$arch || exit 1; \
	done

install: ## the Linux program, as sendmail too: DESTDIR= PREFIX=/usr; build it first
	@test -x build/linux-$(ARCH)/tocsin || { echo "make install: first make linux ARCH=$(ARCH)" >&2; exit 1; }
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' FORCE='$(FORCE)' tools/install.sh build/linux-$(ARCH)/tocsin

deb: linux ## build/tocsin_VERSION_ARCH.deb, which takes the place of a mail-transport-agent
	@for arch in $(ARCHS); do \
	    BEARSSL='$(BEARSSL)' MUSL='$(MUSL)' tools/deb.sh $$arch || exit 1; \
	done

tools: sources ## build/tools: flash images, keys, signed orders
	@$(call cmake_build,tools,all,-DTOCSIN_TESTS=OFF)

config: board tools ## check CONFIG and write the flash image that BOARD boots from
	@test -n '$(CONFIG)' || { echo "make config: which one? CONFIG=file [BOARD=$(BOARD)]" >&2; exit 2; }
	@mkdir -p $(dir $(IMAGE))
	@build/tools/tocsin-flash-$(BOARD) create '$(CONFIG)' '$(IMAGE)'

run: board peers firmware tools ## the whole way of an alert: board in QEMU, mail servers, a mail
	@$(PYTHON) tests/qemu/run.py --board $(BOARD) $(if $(CONFIG),--config '$(CONFIG)') \
	    $(if $(filter-out 0 no,$(INTERACTIVE)),--interactive)

# ---- proof ----

check: deps ## every check and test; the last line counts them
	@$(PYTHON) tests/check.py $(ONLY)

host: sources
	@$(call cmake_build,host,all,-DTOCSIN_SANITIZE=address$(comma)undefined)

fuzzers: sources
	@CC=clang $(call cmake_build,fuzz,all,-DTOCSIN_SANITIZE=fuzzer-no-link$(comma)address$(comma)undefined)

fuzz: fuzzers ## fuzz each parser for FUZZ_SECONDS; new inputs stay in build/fuzz/corpus
	@$(PYTHON) tools/fuzz.py --seconds $(FUZZ_SECONDS) $(FUZZ)

lint: sources ## include directions, formatting, static analysis
	@$(PYTHON) tests/check.py includes format static

format: sources ## reformat all C sources in place
	@tools/lint.sh format --fix

size: firmwares ## flash and RAM by part, for each board and each Linux program
	@$(MAKE) --no-print-directory linux ARCH=all
	@$(PYTHON) tools/size.py $(if $(UPDATE),--update) $(if $(TOP),--top $(TOP)) $(BOARDS) \
	    $(addprefix linux-,$(shell tools/compiler.sh))

docs: firmwares tools ## renew what pages and manuals hold of the code: keys, sizes
	@$(MAKE) --no-print-directory linux ARCH=all
	@$(PYTHON) tools/docs.py --update

bench: board peers firmware tools ## guest instructions of a whole send and of its parts; what the queue costs
	@$(PYTHON) tools/bench.py --board $(BOARD) $(if $(UPDATE),--update)

cross: ## the program for Linux for every processor, and a mail sent by each under QEMU
ifneq ($(DEPS),no)
	@$(PYTHON) tools/deps.py packages sources peers musl cross linux $(DEPS_SOURCES)
endif
	@$(MAKE) --no-print-directory DEPS=no linux ARCH=all
	@$(PYTHON) tests/linux/cross.py

bench-linux: ## the program for Linux beside msmtp, ssmtp, nullmailer, mpop and fetchmail
ifneq ($(DEPS),no)
	@$(PYTHON) tools/deps.py packages sources peers linux callers $(DEPS_SOURCES)
endif
	@$(MAKE) --no-print-directory linux ARCH=$(ARCH)
	@$(PYTHON) tools/bench_linux.py --arch $(ARCH) $(if $(UPDATE),--update)

clean: ## remove all products but the fetched sources and servers
	@find build -mindepth 1 -maxdepth 1 ! -name deps ! -name peers -exec rm -rf {} + 2>/dev/null || true

distclean: ## remove build/
	@rm -rf build

comma := ,
