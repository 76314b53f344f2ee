# Predicts and serves with ONNX Runtime, without Paddle: docs/how-to/deploy.md.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
# What else it shall do: serve,sr,node,compressed
ARG EXTRAS=serve
WORKDIR /src
COPY . .
# Left out: pip, the libraries' own tests, and the C library of ONNX Runtime, which its Python
# module holds once more.  The package is this folder's, so that it has no version to pin.
# hadolint ignore=DL3013
RUN python -m venv --without-pip /opt/lungdx \
    && pip --python /opt/lungdx/bin/python install --no-cache-dir --no-compile \
        ".[${EXTRAS}]" "onnxruntime>=1.12" \
    && find /opt/lungdx -type d -name tests -prune -exec rm -r {} + \
    && rm -f /opt/lungdx/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*

FROM python:${PYTHON}-slim
COPY --from=build /opt/lungdx /opt/lungdx
ENV PATH=/opt/lungdx/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A number, by which Kubernetes sees that it is not root.
USER 10001
WORKDIR /tmp
EXPOSE 8000
# It answers when the model has been read.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["lungdx"]
CMD ["serve", "--model", "/model", "--host", "0.0.0.0", "--port", "8000"]
