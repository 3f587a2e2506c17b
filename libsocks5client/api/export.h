/* Marks a function of the public interface. */
#ifndef S5_API_EXPORT_H
#define S5_API_EXPORT_H

#define S5_EXPORT __attribute__((visibility("default")))

#endif
