/*
 * validators.h
 *
 * Numbers with check digits.
 */
#ifndef RET_VALIDATORS_H
#define RET_VALIDATORS_H

extern bool ret_is_my_number(const char *digits, int len);
extern bool ret_is_corporate_number(const char *digits, int len);
extern bool ret_is_card_shape(const char *digits, int len);
extern bool ret_is_luhn(const char *digits, int len);
extern bool ret_is_jan(const char *digits, int len);
extern bool ret_is_iban_shape(const char *text, int len);
extern bool ret_is_iban(const char *text, int len);
extern int	ret_strip_separators(const char *text, char *out, int size);

#endif							/* RET_VALIDATORS_H */
