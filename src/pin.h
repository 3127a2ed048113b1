/*
 * pin.h
 *
 * Rows that came back from the trash are not purged again at once.
 */
#ifndef RET_PIN_H
#define RET_PIN_H

#include "policy.h"

extern void ret_pins_load(const RetPolicy *policy);
extern char *ret_pins_condition(const RetPolicy *policy);

#endif							/* RET_PIN_H */
