# What surrounds the programs: scripts, units, configuration, completion, packaging, examples.
EXTRA_DIST += \
	%D%/broker.conf \
	%D%/cppcheck-suppressions \
	%D%/install-deps \
	%D%/test \
	%D%/worker.conf \
	$(END)
