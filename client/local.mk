# libtern: the shared library that others link. It exports tern_* and nothing else, as contrib/debian/libtern0.symbols lists it.
lib_LTLIBRARIES += libtern.la

libtern_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -export-symbols-regex '^tern_' -no-undefined
libtern_la_LIBADD = libproto.la
libtern_la_SOURCES = \
	%D%/libtern.c \
	%D%/libtern.h \
	%D%/libtern_advise.c \
	%D%/libtern_fetch.c \
	%D%/libtern_list.c \
	%D%/libtern_probe.c \
	%D%/libtern_query.c \
	%D%/libtern_request.c \
	%D%/libtern_run.c \
	%D%/libtern_session.c \
	%D%/libtern_spec.c \
	%D%/libtern_submit.c \
	%D%/libtern_texts.c \
	%D%/libtern_wait.c \
	$(END)

pkginclude_HEADERS += %D%/tern.h
pkgconfig_DATA += %D%/tern.pc

# libcli: all of the command but main, so that tests link the very objects that ship.
noinst_LTLIBRARIES += libcli.la

libcli_la_SOURCES = \
	%D%/address.c \
	%D%/address.h \
	%D%/base64.c \
	%D%/base64.h \
	%D%/batch.c \
	%D%/batch.h \
	%D%/brokers.c \
	%D%/brokers.h \
	%D%/change.c \
	%D%/change.h \
	%D%/cli.c \
	%D%/cli.h \
	%D%/cli_brokers.c \
	%D%/cmd_advise.c \
	%D%/cmd_cancel.c \
	%D%/cmd_down.c \
	%D%/cmd_drain.c \
	%D%/cmd_help.c \
	%D%/cmd_history.c \
	%D%/cmd_keygen.c \
	%D%/cmd_list.c \
	%D%/cmd_logs.c \
	%D%/cmd_pause.c \
	%D%/cmd_ping.c \
	%D%/cmd_queues.c \
	%D%/cmd_result.c \
	%D%/cmd_resume.c \
	%D%/cmd_retry.c \
	%D%/cmd_rm.c \
	%D%/cmd_run.c \
	%D%/cmd_show.c \
	%D%/cmd_stats.c \
	%D%/cmd_submit.c \
	%D%/cmd_up.c \
	%D%/cmd_version.c \
	%D%/cmd_wait.c \
	%D%/cmd_why.c \
	%D%/cmd_workers.c \
	%D%/commands.c \
	%D%/commands.h \
	%D%/describe.c \
	%D%/describe.h \
	%D%/each_job.c \
	%D%/each_job.h \
	%D%/home.c \
	%D%/home.h \
	%D%/job_options.c \
	%D%/job_options.h \
	%D%/json.c \
	%D%/json.h \
	%D%/json_job.c \
	%D%/selector.c \
	%D%/selector.h \
	%D%/show.c \
	%D%/show.h \
	%D%/slurp.c \
	%D%/slurp.h \
	%D%/spread.c \
	%D%/spread.h \
	%D%/table.c \
	%D%/table.h \
	%D%/up.c \
	%D%/up.h \
	%D%/up_program.c \
	$(END)

# tern: the command. cmd_*.c hold one verb each.
bin_PROGRAMS += tern

tern_LDADD = libcli.la libtern.la libproto.la $(JANSSON_LIBS)
tern_SOURCES = \
	%D%/main.c \
	$(END)
