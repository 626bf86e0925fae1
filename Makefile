# A thin wrapper: Meson and Ninja do the work (meson.build), scripts/ the rest. Every target first
# installs what is missing of scripts/deps, so that on a fresh Debian 12 with git, make and root
# one command is enough.

BUILD ?= build

.PHONY: all demo check quick check-all peers install clean FORCE

all: lathe

# The program, here for convenience.
lathe: FORCE
	@scripts/setup build
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) -Dtests=disabled
	@ninja -C $(BUILD)
	@ln -sf $(BUILD)/src/lathe lathe

# Reads text from pictures with real models and prints it beside the truth.
demo: lathe
	@scripts/setup demo
	@scripts/demo

# Every test but the long ones; the last line is "N passed, N failed".
check: lathe
	@scripts/setup check
	@.venv/bin/python tests/models/make.py .models/made resnet50 mobilenetv2 minilm
	@meson configure $(BUILD) -Dtests=enabled
	@ninja -C $(BUILD)
	@scripts/check $(BUILD)

# The tests that take seconds.
quick: lathe
	@scripts/setup check
	@meson configure $(BUILD) -Dtests=enabled
	@ninja -C $(BUILD)
	@meson test -C $(BUILD) --suite quick

# Sanitizers, the second compiler, longer fuzzing.
check-all: check
	@scripts/setup all
	@scripts/check-all

# The other runtimes and the zoo of models, for bench/zoo: 8 GB of packages and 4 GB of models in .peers.
peers: lathe
	@scripts/setup peers
	@.peers/venv/bin/python bench/export_zoo.py .peers/zoo

install: lathe
	@meson install -C $(BUILD)

clean:
	rm -rf build build-* lathe

FORCE:
