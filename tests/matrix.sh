#!/usr/bin/env bash
# The package where its users have it: other Pythons and Paddles, without a checkout, without a home.
#
#   tests/matrix.sh                 every row, about an hour and a half on two cores
#   tests/matrix.sh py3.12 wheel    these rows
#   tests/matrix.sh --list          their names
#
# Each row has a fresh clone of HEAD and a fresh environment, and a log in the folder that MATRIX_OUT
# names. At the end stands a line a row; a row that could not run is no success. Pythons are found as
# python3.X, or with pyenv.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
top=$PWD
rows=(py3.10 py3.11 py3.12 py3.13 paddle2.6 py3.14-no-paddle sdist wheel uv bare warnings)
[ "${1:-}" = --list ] && { printf '%s\n' "${rows[@]}"; exit; }
[ $# -gt 0 ] && rows=("$@")
out=${MATRIX_OUT:-$(mktemp -d)}
mkdir -p "$out"
not_run=3

# python_of X: the program of Python 3.X, or nothing; a shim of pyenv may be there and name none.
python_of() {
  local program
  for program in "python$1" "$(pyenv root 2> /dev/null)"/versions/"$1".*/bin/"python$1"; do
    "$program" -c '' 2> /dev/null && command -v "$program" && return
  done
}
# needs COMMAND: this row cannot run without it.
needs() { command -v "${1:-}" > /dev/null || { echo "not run: no ${2:-$1}"; exit $not_run; }; }
# environment X: a fresh one of Python 3.X from here on, or the end of the row.
environment() {
  local program
  program=$(python_of "$1")
  needs "$program" "Python $1"
  "$program" -m venv "$work/env" && . "$work/env/bin/activate" || exit
}

# chain [OPTION ...]: from a phantom to a model and its answers, with `python OPTION ... -m
# lungdx_paddle`, in the folder $work/chain.
chain() {
  mkdir -p "$work/chain" && cd "$work/chain" &&
    python "$@" -m lungdx_paddle phantom --out scans --patients 8 &&
    python "$@" -m lungdx_paddle preprocess --lidc scans --out crops &&
    python "$@" -m lungdx_paddle train -o data.manifest=crops/manifest.csv train.steps=20 output=run &&
    python "$@" -m lungdx_paddle eval --run run &&
    python "$@" -m lungdx_paddle export --run run --out model --onnx &&
    python "$@" -m lungdx_paddle predict --model model --manifest crops/manifest.csv > answers.jsonl &&
    [ "$(wc -l < answers.jsonl)" -gt 100 ]
}
# without_paddle PYTHON: a model that Python 3.11 made answers crops and the browser's requests.
without_paddle() {
  needs "$(python_of "$1")" "Python $1"
  (environment 3.11 && pip install -q '.[cpu,onnx]' && chain) || return
  rm -r "$work/env"
  environment "$1"
  pip install -q '.[serve]' onnxruntime && cd "$work/chain" || return
  ! python -c 'import paddle' 2> /dev/null || return
  lungdx predict --model model --manifest crops/manifest.csv > again.jsonl || return
  [ "$(wc -l < again.jsonl)" = "$(wc -l < answers.jsonl)" ] || return
  lungdx serve --model model --port 8471 & local server=$!
  for _ in $(seq 60); do
    sleep 1
    python -c 'import urllib.request as u; u.urlopen("http://127.0.0.1:8471/health")' 2> /dev/null && break
  done
  python -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:8471/health").read())'
  local answer=$?
  kill -INT $server && wait $server
  return $answer
}
# packed sdist|wheel: the chain with what pip makes of a distribution, and no checkout in sight.
packed() {
  environment 3.11
  pip install -q build && python -m build -q "--$1" --outdir "$work/dist" . || return
  local found=("$work"/dist/*)
  pip install -q "${found[0]}[cpu,onnx]" && rm -rf "$work/clone" && chain
}

row() {
  case $1 in
    py*-no-paddle) name=${1#py} && without_paddle "${name%-no-paddle}" ;;
    py*)
      environment "${1#py}"
      local cover=() # from 3.12 on, Python counts lines itself, which takes no time
      [ "$1" = py3.12 ] && cover=(--cov=lungdx_paddle --cov-report=term:skip-covered --cov-fail-under=95)
      pip install -q -e '.[cpu,test]' 'paddlepaddle==3.3.*' && COVERAGE_CORE=sysmon python -m pytest -q "${cover[@]}" ;;
    paddle2.6)
      environment 3.11
      pip install -q -e '.[test,train]' 'paddlepaddle==2.6.2' 'paddle2onnx==1.3.1' 'numpy==1.26.*' && python -m pytest -q ;;
    sdist) packed sdist ;;
    wheel) packed wheel ;;
    uv)
      environment 3.11
      pip install -q uv && uv venv -q --clear "$work/uv" && VIRTUAL_ENV=$work/uv uv pip install -q '.[cpu,onnx]' &&
        PATH=$work/uv/bin:$PATH chain ;;
    bare) # nobody, without a home, in the C locale, with more threads than cores
      [ "$(id -u)" = 0 ] || { echo "not run: only root becomes nobody"; exit $not_run; }
      needs setpriv
      environment 3.11
      local nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
      "${nobody[@]}" "$work/env/bin/python" -c '' || {
        echo "not run: nobody may not start $(python_of 3.11), as in a folder of root's"; exit $not_run; }
      pip install -q -e '.[cpu,test]' && chown -R 65534:65534 "$work" || return
      "${nobody[@]}" env -i PATH="$PATH" LUNGDX_LIDC="${LUNGDX_LIDC:-}" LANG=C OMP_NUM_THREADS=4 TMPDIR="$work" \
        python -m pytest -q ;;
    warnings)
      environment 3.11
      pip install -q -e '.[cpu,onnx]' && chain -W error ;;
    *) echo "no row $1; --list names them"; exit 2 ;;
  esac
}

failed=0
for name in "${rows[@]}"; do
  work=$(mktemp -d)
  chmod 755 "$work"
  git clone -q "$top" "$work/clone"
  start=$SECONDS
  (cd "$work/clone" && row "$name") > "$out/$name.log" 2>&1
  case $? in
    0) result=passed ;;
    "$not_run") result=$(grep -m 1 "^not run" "$out/$name.log") failed=1 ;;
    *) result="FAILED, see $out/$name.log" failed=1 ;;
  esac
  rm -rf "$work"
  printf '%-18s %5d s  %s  %s\n' "$name" $((SECONDS - start)) "$result" \
    "$(grep -E '^[0-9]+ (passed|failed)' "$out/$name.log" | tail -n 1)" | tee -a "$out/summary"
done
exit $failed
