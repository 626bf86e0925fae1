/* Runs a module file with the small runtime alone: cc deploy.c -llathe_runtime
 *
 *     lathe compile model.onnx -o model.lathe && ./deploy model.lathe */
#include <lathe.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    lathe_error e;
    lathe_module *m = argc == 2 ? lathe_load(argv[1], &e) : NULL;
    if (!m) {
        fprintf(stderr, "%s\n", argc == 2 ? e.message : "usage: deploy MODEL.lathe");
        return 1;
    }
    for (int side = 0; side < 2; side++) {
        const int n = side ? lathe_output_count(m) : lathe_input_count(m);
        for (int i = 0; i < n; i++) {
            lathe_port p;
            if ((side ? lathe_output : lathe_input)(m, i, &p) != 0)
                continue;
            char text[256];
            lathe_port_text(&p, text, sizeof text);
            printf("%s %s: %s\n", side ? "output" : "input", p.name, text);
        }
    }
    lathe_module_free(m);
    return 0;
}
