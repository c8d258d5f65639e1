/*
 * Many queues in many cells, of which one in a hundred is moved while clients send to them and receive:
 * what that takes, in time and memory.  What is sent comes in order and once, and nothing is missing.
 */
#ifndef SIM_CELLS_SCALE_H
#define SIM_CELLS_SCALE_H

/* The process's exit status. */
int scale_main(unsigned cells, unsigned queues);

#endif
