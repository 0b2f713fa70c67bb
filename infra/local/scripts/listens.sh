#!/usr/bin/env bash
# Whether somebody listens at ADDRESS PORT, an address of this machine.
(exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
