/*
 * width.h
 *
 * Full-width and half-width forms as one.
 */
#ifndef RET_WIDTH_H
#define RET_WIDTH_H

extern char *ret_fold_width(const char *text, int len);

#endif							/* RET_WIDTH_H */
