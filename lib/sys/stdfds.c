#include "sys/stdfds.h"

#include <fcntl.h>
#include <unistd.h>

void stdfds_init(void)
{
	/* stdin cannot be read, the others not written. */
	static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		int other = open("/dev/null", modes[fd]);
		if (other >= 0 && other != fd)
			close(other);
	}
}
