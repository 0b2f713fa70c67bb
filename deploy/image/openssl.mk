# Read by make before OpenSSL's own Makefile (MAKEFILES in compile.sh). Without it the program would have the path of the
# folder in which it was built, and would look there for engines and modules, of which the static OpenSSL has none.
override ENGINESDIR := /usr/lib/engines-3
override MODULESDIR := /usr/lib/ossl-modules
