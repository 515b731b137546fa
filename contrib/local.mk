# What surrounds the programs: scripts, units, configuration, completion, packaging, examples.
noinst_PROGRAMS += %D%/slow-server
contrib_slow_server_SOURCES = %D%/slow-server.c
contrib_slow_server_LDADD = $(UV_LIBS)

bashcompletiondir = $(datadir)/bash-completion/completions
dist_bashcompletion_DATA = %D%/completion/tern.bash

# Examples to copy: who starts and ends workers.
autoscaledir = $(docdir)/examples/autoscale
dist_autoscale_DATA = \
	%D%/autoscale/README.md \
	%D%/autoscale/kubernetes.yaml \
	$(END)
dist_autoscale_SCRIPTS = \
	%D%/autoscale/backlog \
	%D%/autoscale/slurm-workers \
	%D%/autoscale/ssh-fleet \
	$(END)

# Examples to copy to $(sysconfdir)/tern, and below /etc/systemd/system.
exampledir = $(docdir)/examples
dist_example_DATA = \
	%D%/broker.conf \
	%D%/examples/fanout.c \
	%D%/examples/fetch.c \
	%D%/examples/hash.c \
	%D%/examples/pipeline.c \
	%D%/examples/resume.c \
	%D%/systemd/worker-less.conf \
	%D%/systemd/worker-more.conf \
	%D%/worker.conf \
	$(END)

# For systemd. The paths in the units are those of configure.
FROM_TEMPLATES = \
	%D%/systemd/tern.conf \
	%D%/systemd/tern-backup.service \
	%D%/systemd/tern-broker.service \
	%D%/systemd/tern-worker@.service \
	$(END)
if HAVE_SYSTEMD_UNITS
nodist_systemdsystemunit_DATA = \
	%D%/systemd/tern-backup.service \
	%D%/systemd/tern-broker.service \
	%D%/systemd/tern-worker@.service \
	$(END)
dist_systemdsystemunit_DATA = \
	%D%/systemd/tern-backup.timer \
	%D%/systemd/tern-workers.slice \
	%D%/systemd/tern-workers.target \
	$(END)
sysusersdir = $(prefix)/lib/sysusers.d
dist_sysusers_DATA = \
	%D%/systemd/sysusers.d/tern-broker.conf \
	%D%/systemd/sysusers.d/tern-worker.conf \
	$(END)
tmpfilesdir = $(prefix)/lib/tmpfiles.d
nodist_tmpfiles_DATA = %D%/systemd/tern.conf
catalogdir = $(prefix)/lib/systemd/catalog
dist_catalog_DATA = %D%/systemd/tern.catalog
endif
CLEANFILES += $(FROM_TEMPLATES)
$(FROM_TEMPLATES): %D%/local.mk Makefile
	$(AM_V_GEN)$(MKDIR_P) %D%/systemd && \
	sed -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' -e 's|@docdir[@]|$(docdir)|g' \
		-e 's|@localstatedir[@]|$(localstatedir)|g' '$(srcdir)/$@.in' > $@.tmp && mv $@.tmp $@
%D%/systemd/tern-backup.service: $(srcdir)/%D%/systemd/tern-backup.service.in
%D%/systemd/tern-broker.service: $(srcdir)/%D%/systemd/tern-broker.service.in
%D%/systemd/tern-worker@.service: $(srcdir)/%D%/systemd/tern-worker@.service.in
%D%/systemd/tern.conf: $(srcdir)/%D%/systemd/tern.conf.in

EXTRA_DIST += \
	%D%/cppcheck-suppressions \
	%D%/debian/changelog \
	%D%/debian/control \
	%D%/debian/copyright \
	%D%/debian/libtern-dev.examples \
	%D%/debian/libtern-dev.install \
	%D%/debian/libtern0.install \
	%D%/debian/libtern0.symbols \
	%D%/debian/rules \
	%D%/debian/source/format \
	%D%/debian/tern-broker.install \
	%D%/debian/tern-broker.postrm \
	%D%/debian/tern-worker.examples \
	%D%/debian/tern-worker.install \
	%D%/debian/tern-worker.postinst \
	%D%/debian/tern-worker.postrm \
	%D%/debian/tern-worker.prerm \
	%D%/debian/tern.install \
	%D%/examples/crawl.py \
	%D%/examples/thumbs.py \
	%D%/install-deps \
	%D%/python/pyproject.toml \
	%D%/python/tern/__init__.py \
	%D%/python/tern/asks.py \
	%D%/python/tern/client.py \
	%D%/python/tern/handlers.py \
	%D%/python/tern/runner.py \
	%D%/python/tern/session.py \
	%D%/python/tern/spec.py \
	%D%/python/tests/test_tern.py \
	%D%/systemd/tern-backup.service.in \
	%D%/systemd/tern-broker.service.in \
	%D%/systemd/tern-worker@.service.in \
	%D%/systemd/tern.conf.in \
	%D%/test \
	%D%/try \
	$(END)

# Debian packages, of the release tarball: in deb/. What it needs: contrib/install-deps --deb. See contrib/debian.
deb: dist
	@command -v dh > /dev/null || { echo "make deb needs debhelper: contrib/install-deps --deb" >&2; exit 1; }
	@grep -q '^tern ($(PACKAGE_VERSION))' '$(srcdir)/%D%/debian/changelog' || \
		{ echo "contrib/debian/changelog does not begin with version $(PACKAGE_VERSION)" >&2; exit 1; }
	rm -rf deb && $(MKDIR_P) deb
	tar -C deb -xf '$(distdir).tar.xz'
	cp -R 'deb/$(distdir)/%D%/debian' 'deb/$(distdir)/debian'
	cd 'deb/$(distdir)' && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		DEB_BUILD_OPTIONS="parallel=$$(nproc) nocheck" dpkg-buildpackage -b -us -uc
	rm -rf 'deb/$(distdir)'
	@echo "the packages are in $(abs_builddir)/deb"

# lintian, and the packages' whole life in a throw-away machine.
check-deb: deb
	bash '$(srcdir)/tests/systemd/packages.sh' deb

clean-local:
	rm -rf deb
.PHONY: deb check-deb
