#!/bin/sh
# Installs redis-server for the tests on Debian and its kin, as root. The tests start servers of their own: the
# service of the system is neither started now nor at the next boot.
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
install() { apt-get install -y --no-install-recommends redis-server >&2; }
install || { apt-get update >&2 && install; }
