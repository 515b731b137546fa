# What surrounds the programs: scripts, units, configuration, completion, packaging, examples.
noinst_PROGRAMS += %D%/slow-server
contrib_slow_server_SOURCES = %D%/slow-server.c
contrib_slow_server_LDADD = $(UV_LIBS)

EXTRA_DIST += \
	%D%/broker.conf \
	%D%/cppcheck-suppressions \
	%D%/install-deps \
	%D%/test \
	%D%/try \
	%D%/worker.conf \
	$(END)
