/* lathe watch learn: references cut from a video, and a watch begun. */
#ifndef LATHE_TOOLS_WATCH_LEARN_H
#define LATHE_TOOLS_WATCH_LEARN_H

/* argv[0] is "learn"; alone it prints what there is. An exit status. */
int watch_learn(int argc, char **argv);

#endif
