/* lathe doctor: what this machine and this build have, what is missing, and what that costs. */
#include <stdio.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "target/cpu.h"
#include "tools/tool.h"
#include "watch/sink.h"

const char help_doctor[] = "lathe doctor\n\n"
                           "Says what this CPU can run and which optional parts this build has; "
                           "for each missing part what\n"
                           "that costs. Exit status 0 whatever it finds.\n\n"
                           "LATHE_MAX_ISA=avx2|avx2-vnni|avx512|avx512-vnni|avx512-bf16|amx in the "
                           "environment of any command\n"
                           "and of the library: what the CPU has beyond that is left alone, as if "
                           "it had it not.\n\n"
                           "    lathe doctor\n";

typedef struct Part {
    const char *name;
    int present;
    const char *without; /* what its absence costs */
    const char *remedy;
} Part;

static const Part parts[] = {
    {"libpng", HAVE_PNG, "`lathe read` takes no PNG and writes no picture", "libpng-dev, rebuild"},
    {"libjpeg", HAVE_JPEG, "`lathe read` takes no JPEG, events have no pictures",
     "libjpeg62-turbo-dev, rebuild"},
    {"freetype", HAVE_FREETYPE, "no text is drawn: no demonstration pictures",
     "libfreetype-dev, rebuild"},
};

static const struct SinkPart {
    const char *name;
    SinkKind kind;
    const char *remedy;
} sinks[] = {
    {"webhooks", SINK_WEBHOOK,
     "libcurl4-openssl-dev and libssl-dev, rebuild with -Dwebhook=enabled"},
    {"MQTT", SINK_MQTT, "libmosquitto-dev, rebuild with -Dmqtt=enabled"},
    {"NATS", SINK_NATS, "libnats-dev, rebuild with -Dnats=enabled"},
};

static const struct Absent {
    const char *name, *instead;
} absent[] = {
    {"tuning", "schedules come from templates"},
    {"quantization", "a model runs in the types that it has; one that is quantized already runs"},
    {"GPUs", "code is for the CPU"},
    {"server", "run from the command line or by include/lathe.h"},
};

static void print_part(const char *name, bool present, const char *without, const char *remedy)
{
    if (present)
        printf("%-12s present\n", name);
    else
        printf("%-12s MISSING: %s (install %s)\n", name, without, remedy);
}

int cmd_doctor(int argc, char **argv)
{
    Args a = args_begin(argc, argv);
    if (!args_done(&a, 0, 0, "no arguments")) {
        return EXIT_ERROR;
    }
    Arena *arena = arena_new();
    const Target t = target_native();
    const char *missing = NULL;
    printf("cpu          %s, %d usable\n", target_describe(arena, &t), parallel_cpus());
    if (cpu_detect().left_out)
        printf("limited      by LATHE_MAX_ISA=%s: this CPU has more\n", getenv("LATHE_MAX_ISA"));
    printf("vectors      %d bytes, %d registers\n", t.vector_bytes, t.vector_regs);
    if (!target_runs(&t, &missing)) {
        printf("missing      %s: generated code cannot run here, only be compiled\n", missing);
    }
    if (t.vector_bytes < 64) {
        printf("note         no AVX-512: about half the peak of a CPU that has it\n");
    }
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        print_part(parts[k].name, parts[k].present, parts[k].without, parts[k].remedy);
    for (size_t k = 0; k < sizeof sinks / sizeof *sinks; k++)
        print_part(sinks[k].name, sink_built(sinks[k].kind),
                   "`lathe watch` sends no events that way", sinks[k].remedy);
    for (size_t k = 0; k < sizeof absent / sizeof *absent; k++) {
        printf("%-12s not in this version: %s\n", absent[k].name, absent[k].instead);
    }
    arena_free(arena);
    return EXIT_OK;
}
