/* A broker that knows MQTT 3.1.1 alone: what comes is taken into `a` and acknowledged; MQTT 5 is
 * refused as 3.1.1 says. */
#ifndef LATHE_TESTS_OLD_BROKER_H
#define LATHE_TESTS_OLD_BROKER_H

#include "sinks/records.h"

typedef struct OldBroker OldBroker;
OldBroker *old_broker_start(Arrivals *a);
int old_broker_port(const OldBroker *b);
int old_broker_refused(const OldBroker *b); /* connections of MQTT 5 */
void old_broker_stop(OldBroker *b);

#endif
