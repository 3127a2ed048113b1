/*
 * label.h
 *
 * SECURITY LABEL FOR retention.
 */
#ifndef RET_LABEL_H
#define RET_LABEL_H

extern void ret_label_init(void);

#endif							/* RET_LABEL_H */
