"""Stands for kubeseal: another text each time, and nothing of what was given but its name."""

import secrets
import sys

import yaml

secret = yaml.safe_load(sys.stdin)
meta = secret["metadata"]
sealed = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret"}
sealed["metadata"] = {"name": meta["name"], "namespace": meta["namespace"]}
sealed["spec"] = {"encryptedData": {key: secrets.token_hex(40) for key in secret["stringData"]}, "template": {"metadata": meta}}
sys.stdout.write(yaml.safe_dump(sealed))
