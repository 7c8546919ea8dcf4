# CPU:   docker build -t ndg .
#        mkdir -p runs && chmod a+w runs     # else Docker makes it, for root alone
#        docker run --rm -v "$PWD/runs:/work/runs" ndg train digits_mlp
# CUDA:  docker build --build-arg PIP_EXTRA_INDEX_URL= -t ndg:cuda .
#        docker run --rm --gpus all -v "$PWD/runs:/work/runs" ndg:cuda doctor
FROM python:3.12-slim

# The CPU build of PyTorch; without it pip takes the default build, which brings CUDA.
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PREFER_BINARY=1

RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential git graphviz libgraphviz-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ndg
COPY requirements.lock .
RUN PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" pip install -r requirements.lock
COPY . .
RUN pip install --no-build-isolation --no-deps -e .

RUN useradd --create-home user && mkdir -p /work && chown user /work
USER user
WORKDIR /work
ENTRYPOINT ["ndg"]
