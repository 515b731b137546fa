# What several tests stand on.
check_LTLIBRARIES =
librig_la_SOURCES = \
	%D%/await_rig.c \
	%D%/await_rig.h \
	%D%/broker_harness.c \
	%D%/broker_harness.h \
	%D%/broker_talk.c \
	%D%/idle_pools.c \
	%D%/idle_pools.h \
	%D%/own_zygote.c \
	%D%/own_zygote.h \
	$(END)

# Every program that sets no LDADD of its own is a test: one file, tests/test_NOUN.c, linked to all there is.
LDADD = librig.la libbroker.la libworker.la libproto.la $(CMOCKA_LIBS)

# Unit tests: tests/test_NOUN.c.
UNIT_TESTS = \
	%D%/test_address \
	%D%/test_advise \
	%D%/test_await \
	%D%/test_await_parts \
	%D%/test_broker \
	%D%/test_broker_change \
	%D%/test_broker_checkpoint \
	%D%/test_broker_children \
	%D%/test_broker_dispatch \
	%D%/test_broker_keys \
	%D%/test_broker_limits \
	%D%/test_broker_loss \
	%D%/test_broker_progress \
	%D%/test_broker_submit \
	%D%/test_broker_wait \
	%D%/test_broker_worker \
	%D%/test_buf \
	%D%/test_class \
	%D%/test_class_ahead \
	%D%/test_cli_job_options \
	%D%/test_cli_json \
	%D%/test_cli_slurp \
	%D%/test_client \
	%D%/test_client_wait \
	%D%/test_command \
	%D%/test_compat \
	%D%/test_coroutine \
	%D%/test_grant \
	%D%/test_greeting \
	%D%/test_guard \
	%D%/test_handler_http \
	%D%/test_handlers \
	%D%/test_home \
	%D%/test_job \
	%D%/test_key \
	%D%/test_leaving \
	%D%/test_link \
	%D%/test_link_any \
	%D%/test_link_asks \
	%D%/test_link_drain \
	%D%/test_link_runs \
	%D%/test_list \
	%D%/test_log \
	%D%/test_map \
	%D%/test_measure \
	%D%/test_message \
	%D%/test_message_refused \
	%D%/test_message_text \
	%D%/test_module \
	%D%/test_name \
	%D%/test_needs \
	%D%/test_number \
	%D%/test_numbered \
	%D%/test_old_workers \
	%D%/test_options \
	%D%/test_output \
	%D%/test_parse \
	%D%/test_pool \
	%D%/test_pool_ahead \
	%D%/test_pool_ahead_commands \
	%D%/test_pool_children \
	%D%/test_pool_queue \
	%D%/test_reader \
	%D%/test_reader_fetch \
	%D%/test_regress \
	%D%/test_retry \
	%D%/test_ring \
	%D%/test_roles \
	%D%/test_route \
	%D%/test_selector \
	%D%/test_service \
	%D%/test_served \
	%D%/test_sha256 \
	%D%/test_share \
	%D%/test_sketch \
	%D%/test_slot \
	%D%/test_socket \
	%D%/test_socket_rules \
	%D%/test_spread \
	%D%/test_store \
	%D%/test_store_account \
	%D%/test_store_disk \
	%D%/test_store_model \
	%D%/test_store_open \
	%D%/test_store_order \
	%D%/test_store_plans \
	%D%/test_tree \
	%D%/test_usage \
	%D%/test_validate \
	%D%/test_words \
	%D%/test_zygote \
	%D%/test_zygote_wrong \
	$(END)

# Of the command and the library: linked to these alone.
CLI_LDADD = libcli.la libtern.la libproto.la $(JANSSON_LIBS) $(CMOCKA_LIBS)
tests_test_cli_job_options_LDADD = $(CLI_LDADD)
tests_test_cli_json_LDADD = $(CLI_LDADD)
tests_test_cli_slurp_LDADD = $(CLI_LDADD)
tests_test_client_LDADD = $(libtern_la_OBJECTS) libproto.la $(CMOCKA_LIBS) # what libtern does not export, too
tests_test_client_wait_LDADD = $(tests_test_client_LDADD)
tests_test_home_LDADD = $(CLI_LDADD)
tests_test_selector_LDADD = $(CLI_LDADD)
tests_test_spread_LDADD = $(CLI_LDADD)

# Tests that share what they stand on, which has no names of its own.
LINK_RIG = %D%/link_rig.c %D%/link_rig.h
tests_test_link_SOURCES = %D%/test_link.c $(LINK_RIG)
tests_test_link_any_SOURCES = %D%/test_link_any.c $(LINK_RIG)
tests_test_link_drain_SOURCES = %D%/test_link_drain.c $(LINK_RIG)
tests_test_link_runs_SOURCES = %D%/test_link_runs.c $(LINK_RIG)
SOCKET_RIG = %D%/socket_rig.c %D%/socket_rig.h
tests_test_socket_SOURCES = %D%/test_socket.c $(SOCKET_RIG)
tests_test_socket_rules_SOURCES = %D%/test_socket_rules.c $(SOCKET_RIG)
STORE_RIG = %D%/store_rig.c %D%/store_rig.h
tests_test_store_order_SOURCES = %D%/test_store_order.c $(STORE_RIG)
tests_test_store_model_SOURCES = %D%/test_store_model.c $(STORE_RIG)
tests_test_store_account_SOURCES = %D%/test_store_account.c $(STORE_RIG)
tests_test_store_SOURCES = %D%/test_store.c $(STORE_RIG)
POOL_RIG = %D%/pool_rig.c %D%/pool_rig.h
tests_test_pool_SOURCES = %D%/test_pool.c $(POOL_RIG)
tests_test_pool_queue_SOURCES = %D%/test_pool_queue.c $(POOL_RIG)
AHEAD_RIG = %D%/ahead_rig.c %D%/ahead_rig.h
tests_test_pool_ahead_SOURCES = %D%/test_pool_ahead.c $(AHEAD_RIG)
tests_test_pool_ahead_commands_SOURCES = %D%/test_pool_ahead_commands.c $(AHEAD_RIG)
CHILDREN_RIG = %D%/children_rig.c %D%/children_rig.h
tests_test_pool_children_SOURCES = %D%/test_pool_children.c $(CHILDREN_RIG)
SCRIPTED_BROKER = %D%/scripted_broker.c %D%/scripted_broker.h
tests_test_client_SOURCES = %D%/test_client.c $(SCRIPTED_BROKER)
tests_test_client_wait_SOURCES = %D%/test_client_wait.c $(SCRIPTED_BROKER)
MESSAGE_RIG = %D%/message_rig.c %D%/message_rig.h
tests_test_message_SOURCES = %D%/test_message.c $(MESSAGE_RIG)
tests_test_message_refused_SOURCES = %D%/test_message_refused.c $(MESSAGE_RIG)
tests_test_message_text_SOURCES = %D%/test_message_text.c $(MESSAGE_RIG)
ZYGOTE_RIG = %D%/zygote_rig.c %D%/zygote_rig.h
tests_test_zygote_SOURCES = %D%/test_zygote.c $(ZYGOTE_RIG)
tests_test_zygote_wrong_SOURCES = %D%/test_zygote_wrong.c $(ZYGOTE_RIG)
KEYS_RIG = %D%/keys_rig.c %D%/keys_rig.h
tests_test_broker_keys_SOURCES = %D%/test_broker_keys.c $(KEYS_RIG)
tests_test_broker_limits_SOURCES = %D%/test_broker_limits.c $(KEYS_RIG)
READER_RIG = %D%/reader_rig.c %D%/reader_rig.h
tests_test_reader_SOURCES = %D%/test_reader.c $(READER_RIG)
tests_test_reader_fetch_SOURCES = %D%/test_reader_fetch.c $(READER_RIG)
CLASS_RIG = %D%/class_rig.c %D%/class_rig.h
tests_test_class_SOURCES = %D%/test_class.c $(CLASS_RIG)
tests_test_class_ahead_SOURCES = %D%/test_class_ahead.c $(CLASS_RIG)

# The simulation and the fuzz targets' replay are programs too. One of more than one file, or with arguments
# for the compiler, says so below by its own tests_sim_sim_SOURCES and the like.
SIM_TESTS = \
	%D%/sim/sim \
	$(END)
tests_sim_sim_SOURCES = \
	%D%/sim/check.c \
	%D%/sim/check.h \
	%D%/sim/disk.c \
	%D%/sim/disk.h \
	%D%/sim/fault.c \
	%D%/sim/fault.h \
	%D%/sim/kept.c \
	%D%/sim/kept.h \
	%D%/sim/net.c \
	%D%/sim/net.h \
	%D%/sim/platter.c \
	%D%/sim/platter.h \
	%D%/sim/record.c \
	%D%/sim/record.h \
	%D%/sim/run.c \
	%D%/sim/shrink.c \
	%D%/sim/shrink.h \
	%D%/sim/sim.c \
	%D%/sim/sim_broker.c \
	%D%/sim/sim_client.c \
	%D%/sim/sim_pool.c \
	%D%/sim/sim_pool.h \
	%D%/sim/sim_worker.c \
	%D%/sim/trace.c \
	%D%/sim/world.h \
	$(END)
# The sweep over every operation of the disk; make check runs a short form of it.
SWEEP_TESTS = \
	%D%/sweep/sweep \
	$(END)
tests_sweep_sweep_SOURCES = \
	%D%/sim/disk.c \
	%D%/sim/disk.h \
	%D%/sim/platter.c \
	%D%/sim/platter.h \
	%D%/sweep/check.c \
	%D%/sweep/load.c \
	%D%/sweep/nodes.c \
	%D%/sweep/notes.c \
	%D%/sweep/plans.c \
	%D%/sweep/run.c \
	%D%/sweep/sweep.c \
	%D%/sweep/sweep.h \
	$(END)
# In the build that make fuzz makes, replay.c is empty and LIBFUZZER brings the fuzzer's own main.
LIBFUZZER =
FUZZ_TESTS = \
	%D%/fuzz/fuzz_batch \
	%D%/fuzz/fuzz_broker \
	%D%/fuzz/fuzz_conf \
	%D%/fuzz/fuzz_frame \
	%D%/fuzz/fuzz_link \
	%D%/fuzz/fuzz_message \
	$(END)
# With CFLAGS of its own, since the library's file is compiled once more: spec_pack is not exported.
tests_fuzz_fuzz_batch_CFLAGS = $(AM_CFLAGS)
tests_fuzz_fuzz_batch_LDADD = libcli.la libproto.la $(JANSSON_LIBS)
tests_fuzz_fuzz_batch_LDFLAGS = $(AM_LDFLAGS) $(LIBFUZZER)
tests_fuzz_fuzz_batch_SOURCES = \
	client/libtern_spec.c \
	%D%/fuzz/fuzz_batch.c \
	%D%/fuzz/replay.c \
	$(END)
tests_fuzz_fuzz_broker_LDFLAGS = $(AM_LDFLAGS) $(LIBFUZZER)
tests_fuzz_fuzz_broker_SOURCES = \
	%D%/fuzz/fuzz_broker.c \
	%D%/fuzz/generate.c \
	%D%/fuzz/generate.h \
	%D%/fuzz/replay.c \
	$(END)
tests_fuzz_fuzz_conf_LDFLAGS = $(AM_LDFLAGS) $(LIBFUZZER)
tests_fuzz_fuzz_conf_SOURCES = \
	%D%/fuzz/fuzz_conf.c \
	%D%/fuzz/replay.c \
	$(END)
tests_fuzz_fuzz_frame_LDFLAGS = $(AM_LDFLAGS) $(LIBFUZZER)
tests_fuzz_fuzz_frame_SOURCES = \
	%D%/fuzz/fuzz_frame.c \
	%D%/fuzz/replay.c \
	$(END)
tests_fuzz_fuzz_link_LDFLAGS = $(AM_LDFLAGS) $(LIBFUZZER)
tests_fuzz_fuzz_link_SOURCES = \
	%D%/fuzz/fuzz_link.c \
	%D%/fuzz/generate.c \
	%D%/fuzz/generate.h \
	%D%/fuzz/replay.c \
	$(END)
tests_fuzz_fuzz_message_LDFLAGS = $(AM_LDFLAGS) $(LIBFUZZER)
tests_fuzz_fuzz_message_SOURCES = \
	%D%/fuzz/fuzz_message.c \
	%D%/fuzz/replay.c \
	$(END)

# Programs that tests start, but that are no tests themselves.
TEST_HELPERS = \
	%D%/bench/client \
	%D%/bench/limits \
	%D%/bench/worker \
	%D%/chaos/job \
	$(END)
tests_bench_client_LDADD = libtern.la libproto.la
tests_bench_client_SOURCES = \
	%D%/bench/client.c \
	%D%/bench/samples.c \
	%D%/bench/samples.h \
	$(END)
tests_bench_limits_LDADD = libbroker.la libproto.la
tests_bench_limits_SOURCES = \
	%D%/bench/limits.c \
	%D%/bench/limits.h \
	%D%/bench/limits_sqlite.c \
	%D%/bench/limits_store.c \
	%D%/bench/samples.c \
	%D%/bench/samples.h \
	$(END)
# The worker as it is, with one handler more.
tests_bench_worker_CPPFLAGS = $(AM_CPPFLAGS) -Dhandlers_init=bench_handlers_init
tests_bench_worker_LDADD = libworker.la libproto.la
tests_bench_worker_SOURCES = \
	worker/main.c \
	%D%/bench/clock_handler.c \
	%D%/bench/load_handlers.c \
	%D%/bench/load_handlers.h \
	%D%/bench/samples.c \
	%D%/bench/samples.h \
	$(END)
tests_chaos_job_LDADD = $(END)

# Flows: real daemons, one bats file one test. The first one waits most of a minute, while the others work.
FLOW_TESTS = \
	%D%/flow/three_hosts.bats \
	%D%/flow/advise.bats \
	%D%/flow/await.bats \
	%D%/flow/bad_handlers.bats \
	%D%/flow/basics.bats \
	%D%/flow/brokers.bats \
	%D%/flow/children.bats \
	%D%/flow/durability.bats \
	%D%/flow/examples.bats \
	%D%/flow/floods.bats \
	%D%/flow/full_disk.bats \
	%D%/flow/isolation.bats \
	%D%/flow/keys.bats \
	%D%/flow/load.bats \
	%D%/flow/many.bats \
	%D%/flow/modules.bats \
	%D%/flow/pressure.bats \
	%D%/flow/protocol.bats \
	%D%/flow/python.bats \
	%D%/flow/runner.bats \
	%D%/flow/runner_asks.bats \
	%D%/flow/runner_wrong.bats \
	%D%/flow/served.bats \
	%D%/flow/two_machines.bats \
	%D%/flow/wrong_input.bats \
	$(END)

# Control groups of version 2, in a kernel that runs as a process.
CGROUP_TESTS = \
	%D%/cgroup/cgroup.sh \
	$(END)

# The units, in a throw-away machine with a systemd.
SYSTEMD_TESTS = \
	%D%/systemd/flows.sh \
	$(END)

# A short form of the chaos.
CHAOS_TESTS = \
	%D%/chaos/short.sh \
	$(END)

# Static checks: scripts that read the tree.
STATIC_TESTS = \
	%D%/credentials.sh \
	%D%/doc_paths.sh \
	%D%/house.sh \
	%D%/manpages.sh \
	%D%/protocol_doc.sh \
	$(END)

EXTRA_DIST += \
	$(STATIC_TESTS) \
	$(FLOW_TESTS) \
	%D%/bench/README.md \
	%D%/bench/compare \
	%D%/bench/curves.py \
	%D%/bench/daemons.py \
	%D%/bench/figures.py \
	%D%/bench/machine.py \
	%D%/bench/measures.py \
	%D%/bench/models.py \
	%D%/bench/plots.py \
	%D%/bench/run \
	%D%/bench/table \
	%D%/bench/targets.py \
	%D%/calling.h \
	$(CHAOS_TESTS) \
	%D%/chaos/chaos.py \
	%D%/chaos/checker.py \
	%D%/chaos/daemons.py \
	%D%/chaos/disk.py \
	%D%/chaos/hosts.py \
	%D%/chaos/journal.py \
	%D%/chaos/load.py \
	%D%/chaos/plan.py \
	%D%/chaos/record.py \
	%D%/chaos/run \
	%D%/chaos/world.py \
	%D%/flow/cases.bash \
	%D%/flow/helpers.bash \
	%D%/flow/pressure.bash \
	%D%/flow/run \
	%D%/mutants \
	%D%/netns-hosts \
	%D%/pressure/hostile.py \
	%D%/fuzz/corpus \
	%D%/fuzz/run \
	%D%/compat_0_1.txt \
	%D%/runner/bad.py \
	%D%/runner/cases.c \
	%D%/runner/cases.py \
	%D%/schema_2.sql \
	$(CGROUP_TESTS) \
	%D%/cgroup/init \
	%D%/cgroup/memory.bats \
	$(SYSTEMD_TESTS) \
	%D%/systemd/helpers.bash \
	%D%/systemd/packages.bats \
	%D%/systemd/packages.sh \
	%D%/systemd/service.bats \
	%D%/with-systemd \
	$(END)

TEST_EXTENSIONS = .sh .bats
SH_LOG_COMPILER = bash
BATS_LOG_COMPILER = $(SHELL) $(srcdir)/%D%/flow/run
LOG_COMPILER = timeout -k 5 300
AM_TESTS_ENVIRONMENT = \
	TERN_BUILD='$(abs_builddir)'; export TERN_BUILD; \
	TERN_SOURCE='$(abs_srcdir)'; export TERN_SOURCE;

# Those that take longest come first: nobody waits for one of them alone at the end.
TESTS += $(STATIC_TESTS)
if HAVE_CMOCKA
check_LTLIBRARIES += librig.la
check_PROGRAMS += $(UNIT_TESTS) $(SIM_TESTS) $(SWEEP_TESTS) $(FUZZ_TESTS) $(TEST_HELPERS)
PROGRAM_TESTS = $(CHAOS_TESTS) $(SIM_TESTS) $(FLOW_TESTS) $(SWEEP_TESTS) $(UNIT_TESTS) $(FUZZ_TESTS)
TESTS += $(SYSTEMD_TESTS) $(CGROUP_TESTS) $(PROGRAM_TESTS)
else
check-local:
	@echo "make check needs cmocka, which configure did not find." >&2
	@echo "Install it (contrib/install-deps, or Debian's libcmocka-dev) and run configure again." >&2
	@exit 1
endif

# Flows start the programs, so these are built first even for make check TESTS=...
$(FLOW_TESTS:.bats=.log) $(SYSTEMD_TESTS:.sh=.log) $(CGROUP_TESTS:.sh=.log) $(CHAOS_TESTS:.sh=.log): tern$(EXEEXT) tern-broker$(EXEEXT) tern-worker$(EXEEXT)

# Without what reads the tree alone, and what a sanitizer's programs cannot do.
check-programs:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$(PROGRAM_TESTS)"
.PHONY: check-programs

# What the thread sanitizer is for: the pools, the handlers that they run and what these await, and the reader.
check-tsan:
	@list=; for t in $(UNIT_TESTS); do \
	  case $$t in \
	    %D%/test_await*|%D%/test_coroutine*|%D%/test_handler*|%D%/test_link*|%D%/test_pool*|%D%/test_reader*|%D%/test_ring) list="$$list $$t";; \
	  esac; \
	done; \
	$(MAKE) $(AM_MAKEFLAGS) check TESTS="$$list" check_PROGRAMS="$$list"
.PHONY: check-tsan

# The simulation alone, for longer, on every core: make sim SEEDS=100000; SEED=n tests/sim/sim for one with a trace.
SEEDS = 1000
sim: tests/sim/sim$(EXEEXT)
	PROCESSES="$${PROCESSES:-$$(nproc)}" tests/sim/sim $(SEEDS)

# The whole sweep: at every operation of the disk, everything that can happen to it.
crash-sweep: tests/sweep/sweep$(EXEEXT)
	tests/sweep/sweep all

# Real processes, killed, stopped, cut off and starved: make chaos ROUNDS=1000, about 3 s a round; as root.
ROUNDS = 20
chaos: tern$(EXEEXT) tern-broker$(EXEEXT) tern-worker$(EXEEXT) tests/chaos/job$(EXEEXT)
	TERN_BUILD='$(abs_builddir)' $(srcdir)/%D%/chaos/run $(ROUNDS)

# How fast it is, and how near to what the disk and SQLite allow: a table, and bench.json; with 10,000,000 waiting jobs and plots too,
# which takes up to an hour and 3 GiB of disk. See tests/bench/README.md.
BENCH =
bench_needs = tern-broker$(EXEEXT) tern-worker$(EXEEXT) tests/bench/client$(EXEEXT) tests/bench/limits$(EXEEXT) \
	tests/bench/worker$(EXEEXT)
bench: $(bench_needs)
	TERN_BUILD='$(abs_builddir)' $(srcdir)/%D%/bench/run $(BENCH)
bench-full: $(bench_needs)
	TERN_BUILD='$(abs_builddir)' $(srcdir)/%D%/bench/run --full $(BENCH)
# Each kind of work in each pool, all of them at once by tag, auto, and a hybrid: a table, bench-models.json and .svg, in some minutes.
bench-models: $(bench_needs) tern$(EXEEXT) contrib/slow-server$(EXEEXT)
	TERN_BUILD='$(abs_builddir)' $(srcdir)/%D%/bench/run --models $(BENCH)

# Plants bugs and says which of them the tests find.
mutants:
	$(srcdir)/tests/mutants/run
.PHONY: sim crash-sweep chaos bench bench-full bench-models mutants

# Looks for inputs that break a target, with clang: make fuzz TARGET=broker SECONDS=900. See tests/fuzz/run.
TARGET = message
SECONDS = 60
fuzz:
	$(srcdir)/%D%/fuzz/run '$(TARGET)' '$(SECONDS)'
.PHONY: fuzz
