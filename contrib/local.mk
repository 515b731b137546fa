# What surrounds the programs: scripts, units, configuration, completion, packaging, examples.
noinst_PROGRAMS += %D%/slow-server
contrib_slow_server_SOURCES = %D%/slow-server.c
contrib_slow_server_LDADD = $(UV_LIBS)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %D%/completion/tern.bash

# Examples to copy to $(sysconfdir)/tern.
exampledir = $(docdir)/examples
dist_example_DATA = \
	%D%/broker.conf \
	%D%/worker.conf \
	$(END)

EXTRA_DIST += \
	%D%/cppcheck-suppressions \
	%D%/install-deps \
	%D%/test \
	%D%/try \
	$(END)
