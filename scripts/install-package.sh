#!/bin/sh
# Installs a package, e.g. redis-server, for tests and benchmarks on Debian and its kin, as root. They start servers
# of their own: the service of the system is neither started now nor at the next boot.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian asks this program before it starts a service; 101 means "forbidden". Left as it is where there is one.
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

# The lists of packages may be missing or old: they are fetched only when the first try fails.
install() { apt-get install -y --no-install-recommends "$1" >&2; }
install "$1" || { apt-get update >&2 && install "$1"; }
