# Manual pages: the number at the end is the section they are installed in.
dist_man_MANS += \
	%D%/tern-broker.8 \
	%D%/tern-handler.3 \
	%D%/tern-worker.8 \
	%D%/tern.1 \
	%D%/tern.conf.5 \
	$(END)

EXTRA_DIST += \
	%D%/brokers.md \
	%D%/performance.md \
	%D%/reliability.md \
	%D%/security.md \
	%D%/style.md \
	CHANGELOG.md \
	README.md \
	proto/PROTOCOL.md \
	proto/RUNNER.md \
	$(END)
