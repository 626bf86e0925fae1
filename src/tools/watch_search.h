/* lathe watch search: what was seen, found again. */
#ifndef LATHE_TOOLS_WATCH_SEARCH_H
#define LATHE_TOOLS_WATCH_SEARCH_H

/* argv[0] is "search". An exit status. */
int watch_search(int argc, char **argv);

#endif
