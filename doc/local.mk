# Manual pages: the number at the end is the section they are installed in.
dist_man_MANS += \
	$(END)

EXTRA_DIST += \
	$(END)
