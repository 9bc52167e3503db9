#!/bin/sh
# Installs PostgreSQL for the peer that needs it, on Debian and its kin, as root. The benchmark starts a server of
# its own: the service of the system is neither started now nor at the next boot.
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
install() { apt-get install -y --no-install-recommends postgresql >&2; }
install || { apt-get update >&2 && install; }
