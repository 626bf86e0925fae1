/* Forks and LLVM. While LLVM works, lists of the whole process hold objects on the stack of the
 * thread that runs it, and its locks may be held. A child has a copy of these but not of that
 * thread, so what it compiles would crash or hang. Therefore a fork waits until LLVM is nowhere at
 * work: for the objects in progress, a fraction of a second each; what comes after waits for the
 * fork. */
#ifndef LATHE_CODEGEN_FORK_H
#define LATHE_CODEGEN_FORK_H

void llvm_enter(void);
void llvm_leave(void);

#endif
