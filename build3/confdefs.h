/* confdefs.h */
#define PACKAGE_NAME "libgrt"
#define PACKAGE_TARNAME "libgrt"
#define PACKAGE_VERSION "0.1.0"
#define PACKAGE_STRING "libgrt 0.1.0"
#define PACKAGE_BUGREPORT ""
#define PACKAGE_URL ""
#define PACKAGE "libgrt"
#define VERSION "0.1.0"
