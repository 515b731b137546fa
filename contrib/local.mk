# What surrounds the programs: scripts, units, configuration, completion, packaging, examples.
EXTRA_DIST += \
	%D%/cppcheck-suppressions \
	%D%/install-deps \
	%D%/test \
	$(END)
