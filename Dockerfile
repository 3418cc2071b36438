# The server, built from the wheel:  python -m build --wheel && docker build -t elmokit .
# Run:  docker run -p 8000:8000 -e ELMOKIT_TOKEN=secret elmokit
# .ci/run builds the image where Docker runs; its commands were tried in a virtual environment elsewhere.
FROM python:3.12-slim
COPY dist/*.whl /tmp/wheels/
RUN wheel=$(ls /tmp/wheels/elmokit-*.whl) && pip install --no-cache-dir "$wheel[server]" && rm -r /tmp/wheels
USER nobody
EXPOSE 8000
# The grace of 8 seconds ends before Docker's own 10 seconds do.
ENTRYPOINT ["elmokit", "serve", "--host", "0.0.0.0", "--grace", "8"]
