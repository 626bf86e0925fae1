/* lathe completion: commands, options and files for the shells.
 *
 * The options of a command are those of its help, whose lines of options begin "    --name"; the test of the
 * commands holds the help against what is parsed. */
#include <stdio.h>
#include <string.h>

#include "tools/tool.h"

const char help_completion[] =
    "lathe completion [bash|zsh|fish]\n"
    "\n"
    "Prints a completion of commands, options and files for a shell (default bash).\n"
    "\n"
    "    eval \"$(lathe completion bash)\"       # in ~/.bashrc\n"
    "    eval \"$(lathe completion zsh)\"        # in ~/.zshrc, after compinit\n"
    "    lathe completion fish | source        # in ~/.config/fish/config.fish\n";

/* ---- options of a help text ---- */

typedef struct Option {
    const char *text; /* what is left of the help */
    bool in_line;     /* text stands behind an option: several may share a line */
    const char *name;
    int len;
    bool value;       /* a value follows: "--top N      what it is" */
} Option;

static bool next_option(Option *o)
{
    const char *p = o->text;
    if (!(o->in_line && strncmp(p, " -", 2) == 0)) {
        while (p && (o->in_line || strncmp(p, "    -", 5) != 0)) {
            p = strchr(p, '\n');
            p = p ? p + 1 : NULL;
            o->in_line = false;
        }
        if (!p)
            return false;
    }
    o->name = p + strspn(p, " ");
    o->len = (int)strcspn(o->name, " \n");
    o->text = o->name + o->len;
    o->in_line = true;
    o->value = o->text[0] == ' ' && o->text[1] != ' ' && o->text[1] != '-';
    return true;
}

/* "run) words='--inputs --seed' ;;" and so on, for bash and zsh. */
static void print_cases(const char *before, const char *behind)
{
    for (const Command *c = commands; c->name; c++) {
        printf("        %s) %s--help", c->name, before);
        for (Option o = {.text = c->help}; next_option(&o);)
            printf(" %.*s", o.len, o.name);
        printf("%s ;;\n", behind);
    }
}

/* ---- shells ---- */

static void print_bash(void)
{
    printf("_lathe() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
           "        words='");
    for (const Command *c = commands; c->name; c++)
        printf("%s%s", c == commands ? "" : " ", c->name);
    printf("'\n"
           "    elif [ \"${word#-}\" != \"$word\" ]; then\n"
           "        case ${COMP_WORDS[1]} in\n");
    print_cases("words='", "'");
    printf("        esac\n"
           "    elif [ \"${COMP_WORDS[1]}\" = completion ]; then\n"
           "        words='bash zsh fish'\n"
           "    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "}\n"
           "complete -o default -F _lathe lathe\n"); /* default: files where nothing else fits */
}

static void print_zsh(void)
{
    printf("_lathe() {\n"
           "    local -a names options\n"
           "    names=(\n");
    for (const Command *c = commands; c->name; c++)
        printf("        '%s:%s'\n", c->name, c->summary);
    printf("    )\n"
           "    case $words[2] in\n");
    print_cases("options=(", ")");
    printf("    esac\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe command names\n"
           "    elif [[ $words[CURRENT] == -* ]]; then\n"
           "        compadd -- $options\n"
           "    elif [[ $words[2] == completion ]]; then\n"
           "        compadd bash zsh fish\n"
           "    else\n"
           "        _files\n"
           "    fi\n"
           "}\n"
           "compdef _lathe lathe\n");
}

static void print_fish(void)
{
    /* The command is the second word, not any (__fish_seen_subcommand_from): a file may be called
     * "run". */
    printf("function __lathe_command\n"
           "    set -l words (commandline -opc)\n"
           "    test \"$words[2]\" = \"$argv[1]\"\n"
           "end\n");
    for (const Command *c = commands; c->name; c++) {
        printf("complete -c lathe -n '__lathe_command \"\"' -f -a %s -d '%s'\n", c->name,
               c->summary);
        printf("complete -c lathe -n '__lathe_command %s' -l help\n", c->name);
        for (Option o = {.text = c->help}; next_option(&o);) {
            const int dashes = (int)strspn(o.name, "-");
            printf("complete -c lathe -n '__lathe_command %s' %s %.*s%s\n", c->name,
                   dashes > 1 ? "-l" : "-s", o.len - dashes, o.name + dashes, o.value ? " -r" : "");
        }
    }
    printf("complete -c lathe -n '__lathe_command completion' -f -a 'bash zsh fish'\n");
}

int cmd_completion(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    Args a = args_begin(argc, argv);
    if (!args_done(&a, 0, 1, "bash, zsh or fish"))
        return EXIT_ERROR;
    const char *shell = a.argc > 1 ? a.argv[1] : "bash";
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(shells[i].name, shell) == 0) {
            shells[i].print();
            return EXIT_OK;
        }
    }
    fprintf(stderr, "lathe completion: no shell '%s': bash, zsh or fish\n", shell);
    return EXIT_ERROR;
}
