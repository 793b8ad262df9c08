#ifndef OCSP_PLUS_VERSION_H
#define OCSP_PLUS_VERSION_H

/* The version of modules, command line and packages, as semver.org counts. It stands here alone: CMake and the scripts read it. */
#define OCSP_PLUS_VERSION "0.2.0"

#endif
